//! A small writer of pictures: shapes and texts go in, and one `<svg>` element comes out.
//!
//! All lengths are in pixels of the picture. The page may show it larger or smaller.

use std::fmt::{self, Write as _};

use judge::model::text::escaped;

/// The size of all letters.
const FONT_PX: f64 = 13.0;

/// A place in a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The distance from the left side of the picture.
    pub x: f64,
    /// The distance from the top of the picture.
    pub y: f64,
}

/// A box whose sides are level and upright.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rect {
    /// The left side.
    pub left: f64,
    /// The upper side.
    pub top: f64,
    /// The right side.
    pub right: f64,
    /// The lower side.
    pub bottom: f64,
}

impl Rect {
    /// Returns the distance between the left and the right side.
    pub fn width(self) -> f64 {
        self.right - self.left
    }

    /// Returns the distance between the upper and the lower side.
    pub fn height(self) -> f64 {
        self.bottom - self.top
    }

    /// Returns the box as the attributes of a `<rect>`.
    fn attributes(self) -> String {
        let (x, y) = (Number(self.left), Number(self.top));
        let (width, height) = (Number(self.width()), Number(self.height()));
        format!("x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"")
    }
}

/// The colours of a picture. Each means one thing, and none of them is that of a FAIL, a WARN or an ok.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// The colour of the page's text.
    Ink,
    /// A grey that is visible on black and on white.
    Gray,
    /// The baseline's blue.
    Blue,
    /// The candidate's violet.
    Violet,
}

impl Color {
    /// Returns the colour as CSS writes it. `page.css` replaces these very values where the page is dark.
    pub fn css(self) -> &'static str {
        match self {
            Color::Ink => "currentColor",
            Color::Gray => "#888888",
            Color::Blue => "#0072B2",
            Color::Violet => "#7B3FA0",
        }
    }
}

/// The look of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stroke {
    /// The colour.
    pub color: Color,
    /// The width.
    pub width: f64,
    /// The opacity of the line, from 0 (nothing) to 1 (all).
    pub opacity: f64,
}

impl Stroke {
    /// Returns a stroke that hides what lies under it.
    pub fn new(color: Color, width: f64) -> Stroke {
        Stroke { color, width, opacity: 1.0 }
    }

    /// Returns the stroke as attributes.
    fn attributes(self) -> String {
        let mut attributes = format!("stroke=\"{}\" stroke-width=\"{}\"", self.color.css(), Number(self.width));
        if self.opacity < 1.0 {
            let _ = write!(attributes, " opacity=\"{}\"", Number(self.opacity));
        }
        attributes
    }
}

/// The part of a text that stands at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// The text begins there.
    Start,
    /// The middle of the text stands there.
    Middle,
    /// The text ends there.
    End,
}

impl Anchor {
    /// Returns the value of the attribute `text-anchor`.
    fn name(self) -> &'static str {
        match self {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        }
    }
}

/// A number as it stands in an attribute: with two decimals at most, and without needless zeros.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = (self.0 * 100.0).round() / 100.0;
        // The sum turns -0 into 0.
        write!(f, "{}", rounded + 0.0)
    }
}

/// A picture that is being drawn. Each shape covers those before it.
#[derive(Clone, Debug)]
pub struct Canvas {
    width: f64,
    height: f64,
    shapes: String,
    tips: String,
}

impl Canvas {
    /// Returns an empty picture.
    pub fn new(width: f64, height: f64) -> Canvas {
        Canvas { width, height, shapes: String::new(), tips: String::new() }
    }

    /// Draws a straight line.
    pub fn line(&mut self, from: Point, to: Point, stroke: Stroke) {
        let (x1, y1) = (Number(from.x), Number(from.y));
        let (x2, y2) = (Number(to.x), Number(to.y));
        let stroke = stroke.attributes();
        let _ = writeln!(self.shapes, r#"<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" {stroke}/>"#);
    }

    /// Draws a line from point to point.
    pub fn polyline(&mut self, points: &[Point], stroke: Stroke) {
        let (points, stroke) = (listed(points), stroke.attributes());
        let _ = writeln!(self.shapes, r#"<polyline points="{points}" fill="none" {stroke}/>"#);
    }

    /// Draws a filled circle.
    pub fn circle(&mut self, center: Point, radius: f64, color: Color) {
        let (x, y, radius) = (Number(center.x), Number(center.y), Number(radius));
        let fill = color.css();
        let _ = writeln!(self.shapes, r#"<circle cx="{x}" cy="{y}" r="{radius}" fill="{fill}"/>"#);
    }

    /// Draws the outline of a circle.
    pub fn ring(&mut self, center: Point, radius: f64, stroke: Stroke) {
        let (x, y, radius) = (Number(center.x), Number(center.y), Number(radius));
        let stroke = stroke.attributes();
        let _ = writeln!(self.shapes, r#"<circle cx="{x}" cy="{y}" r="{radius}" fill="none" {stroke}/>"#);
    }

    /// Draws a filled box.
    pub fn rect(&mut self, rect: Rect, color: Color) {
        let (place, fill) = (rect.attributes(), color.css());
        let _ = writeln!(self.shapes, r#"<rect {place} fill="{fill}"/>"#);
    }

    /// Draws a filled shape with these corners.
    pub fn polygon(&mut self, corners: &[Point], color: Color) {
        let (points, fill) = (listed(corners), color.css());
        let _ = writeln!(self.shapes, r#"<polygon points="{points}" fill="{fill}"/>"#);
    }

    /// Writes a line of text whose letters stand at half their height at `at`.
    pub fn text(&mut self, at: Point, anchor: Anchor, text: &str) {
        let (x, y, anchor) = (Number(at.x), Number(at.y), anchor.name());
        let (fill, text) = (Color::Ink.css(), escaped(text));
        let _ = writeln!(
            self.shapes,
            r#"<text x="{x}" y="{y}" dy="0.5ex" text-anchor="{anchor}" fill="{fill}">{text}</text>"#
        );
    }

    /// Shows a text while the pointer rests near a point.
    pub fn tip_around(&mut self, center: Point, radius: f64, text: &str) {
        let (x, y, radius) = (Number(center.x), Number(center.y), Number(radius));
        let text = escaped(text);
        let _ = writeln!(self.tips, r#"<circle cx="{x}" cy="{y}" r="{radius}"><title>{text}</title></circle>"#);
    }

    /// Shows a text while the pointer rests within a box.
    pub fn tip_within(&mut self, rect: Rect, text: &str) {
        let (place, text) = (rect.attributes(), escaped(text));
        let _ = writeln!(self.tips, "<rect {place}><title>{text}</title></rect>");
    }

    /// Returns the whole `<svg>` element. The title and the description tell the picture to those who cannot see it.
    pub fn finish(self, title: &str, description: &str) -> String {
        let Canvas { width, height, shapes, tips } = self;
        let (width, height, font_size) = (Number(width), Number(height), Number(FONT_PX));
        let (title, description) = (escaped(title), escaped(description));
        // The areas of the tips lie on top, where the pointer meets them first.
        format!(
            "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
             font-family=\"sans-serif\" font-size=\"{font_size}\">\n\
             <title>{title}</title>\n<desc>{description}</desc>\n{shapes}\
             <g fill=\"none\" pointer-events=\"all\">\n{tips}</g>\n</svg>"
        )
    }
}

/// Returns points as the attribute `points` lists them.
fn listed(points: &[Point]) -> String {
    let mut listed = String::new();
    for (place, Point { x, y }) in points.iter().enumerate() {
        let space = if place == 0 { "" } else { " " };
        let _ = write!(listed, "{space}{},{}", Number(*x), Number(*y));
    }
    listed
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use roxmltree::{Document, Node};

    use super::{Anchor, Canvas, Color, Number, Point, Rect, Stroke};

    #[test]
    fn a_number_has_two_decimals_at_most() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (-0.001, "0"),
            (7.0, "7"),
            (0.1 + 0.2, "0.3"),
            (1.0 / 3.0, "0.33"),
            (-2.0 / 3.0, "-0.67"),
            (479.999, "480"),
            (1_234_567.891, "1234567.89"),
        ];
        for (number, expected) in cases {
            assert_eq!(Number(number).to_string(), expected);
        }
    }

    #[test]
    fn every_shape_becomes_an_element() {
        let mut canvas = Canvas::new(100.0, 50.0);
        let (a, b) = (Point { x: 1.0, y: 2.0 }, Point { x: 30.5, y: 40.0 });
        let rect = Rect { left: 1.0, top: 2.0, right: 11.0, bottom: 7.25 };
        canvas.tip_around(a, 9.0, "near");
        canvas.tip_within(rect, "inside");
        canvas.line(a, b, Stroke::new(Color::Ink, 2.0));
        canvas.polyline(&[a, b, a], Stroke { color: Color::Blue, width: 1.0, opacity: 0.35 });
        canvas.circle(a, 3.0, Color::Violet);
        canvas.ring(a, 5.0, Stroke::new(Color::Violet, 2.0));
        canvas.rect(rect, Color::Violet);
        canvas.polygon(&[a, b, Point { x: 0.0, y: 0.0 }], Color::Gray);
        canvas.text(b, Anchor::Middle, "word");
        expect![[r##"
            <svg width="100" height="50" viewBox="0 0 100 50" role="img" font-family="sans-serif" font-size="13">
            <title>name</title>
            <desc>more</desc>
            <line x1="1" y1="2" x2="30.5" y2="40" stroke="currentColor" stroke-width="2"/>
            <polyline points="1,2 30.5,40 1,2" fill="none" stroke="#0072B2" stroke-width="1" opacity="0.35"/>
            <circle cx="1" cy="2" r="3" fill="#7B3FA0"/>
            <circle cx="1" cy="2" r="5" fill="none" stroke="#7B3FA0" stroke-width="2"/>
            <rect x="1" y="2" width="10" height="5.25" fill="#7B3FA0"/>
            <polygon points="1,2 30.5,40 0,0" fill="#888888"/>
            <text x="30.5" y="40" dy="0.5ex" text-anchor="middle" fill="currentColor">word</text>
            <g fill="none" pointer-events="all">
            <circle cx="1" cy="2" r="9"><title>near</title></circle>
            <rect x="1" y="2" width="10" height="5.25"><title>inside</title></rect>
            </g>
            </svg>"##]]
        .assert_eq(&canvas.finish("name", "more"));
    }

    #[test]
    fn no_text_becomes_markup() {
        let hostile = "</title></svg><script>\"'&amp;";
        let mut canvas = Canvas::new(1.0, 1.0);
        let at = Point { x: 0.0, y: 0.0 };
        canvas.text(at, Anchor::End, hostile);
        canvas.tip_around(at, 1.0, hostile);
        canvas.tip_within(Rect { left: 0.0, top: 0.0, right: 1.0, bottom: 1.0 }, hostile);
        let svg = canvas.finish(hostile, hostile);
        let document = Document::parse(&svg).unwrap();
        let texts: Vec<&str> = document.descendants().filter(Node::is_text).filter_map(|node| node.text()).collect();
        assert_eq!(texts.iter().filter(|text| **text == hostile).count(), 5, "{texts:?}");
        assert!(texts.iter().all(|text| *text == hostile || text.trim().is_empty()), "{texts:?}");
    }

    #[test]
    fn the_dark_page_knows_every_colour() {
        let style = include_str!("page.css");
        for color in [Color::Blue, Color::Violet] {
            for attribute in ["stroke", "fill"] {
                assert!(style.contains(&format!("[{attribute}=\"{}\"] {{", color.css())), "{attribute}, {color:?}");
            }
        }
    }
}
