const find = document.getElementById('find');
if (find) {
  const groups = [...document.querySelectorAll('table[aria-labelledby=endpoints] tbody')];
  const text = groups.map((group) =>
    [group.textContent, ...[...group.querySelectorAll('[title]')].map((part) => part.title)].join(' ').toLowerCase());
  const [box] = find.getElementsByTagName('input'), [told] = find.getElementsByTagName('output');
  find.hidden = false;
  box.addEventListener('input', () => {
    const wanted = box.value.toLowerCase();
    const shown = groups.filter((group, place) => !(group.hidden = !text[place].includes(wanted)));
    told.value = `${shown.length} of ${groups.length}`;
  });
}
