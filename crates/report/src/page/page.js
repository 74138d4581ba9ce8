const all = (selector) => [...document.querySelectorAll(selector)];
const more = document.getElementById('more');
if (more) {
  const rest = all('.bars tr.rest'), region = document.querySelector('.scroll');
  const show = (shown) => {
    for (const row of rest) row.hidden = !shown;
    region.classList.toggle('long', shown);
    more.setAttribute('aria-expanded', shown);
    more.textContent = shown ? more.dataset.less : more.dataset.more;
  };
  more.hidden = false;
  more.addEventListener('click', () => show(more.getAttribute('aria-expanded') !== 'true'));
  show(false);
}
const choice = document.getElementById('choice');
if (choice) {
  const [select] = choice.getElementsByTagName('select');
  choice.hidden = select.options.length < 2;
  select.addEventListener('change', () => {
    document.getElementById('where').textContent = select.selectedOptions[0].dataset.title;
    for (const part of all('[data-metric]')) part.hidden = part.dataset.metric !== select.value;
  });
}
const find = document.getElementById('find');
if (find) {
  const groups = all('table[aria-labelledby=endpoints] tbody');
  const text = groups.map((group) =>
    [group.textContent, ...[...group.querySelectorAll('[title]')].map((part) => part.title)].join(' ').toLowerCase());
  const [box] = find.getElementsByTagName('input'), [found] = find.getElementsByTagName('output');
  find.hidden = false;
  box.addEventListener('input', () => {
    const wanted = box.value.toLowerCase();
    const shown = groups.filter((group, place) => !(group.hidden = !text[place].includes(wanted)));
    found.value = `${shown.length} of ${groups.length}`;
  });
}
// An anchor into a folded section opens it.
const unfold = () => { const at = document.getElementById(location.hash.slice(1)); const fold = at && at.closest('details'); if (fold) { fold.open = true; at.scrollIntoView(); } };
addEventListener('hashchange', unfold);
unfold();
// The tips of the charts, by touch and by the arrow keys.
const tip = document.getElementById('tip');
const showTip = (of) => { tip.hidden = !of; tip.textContent = of ? of.querySelector('title').textContent : ''; };
for (const svg of all('figure svg')) {
  const tips = [...svg.querySelectorAll('g[pointer-events] > *')];
  if (!tips.length) continue;
  let place = -1;
  svg.tabIndex = 0;
  svg.addEventListener('click', (event) => showTip(tips.find((of) => of === event.target)));
  svg.addEventListener('blur', () => showTip());
  svg.addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    place = (place + step + tips.length) % tips.length;
    showTip(tips[place]);
  });
}
