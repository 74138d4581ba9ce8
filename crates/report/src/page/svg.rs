//! A small SVG writer: shapes and texts go in, and one `<svg>` element comes out.
//!
//! All lengths are in pixels of the picture. The page may show it larger or smaller.

use std::fmt::{self, Write as _};

use judge::model::text::escaped;

const FONT_PX: f64 = 13.0;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Position {
    pub(crate) x: f64,
    pub(crate) y: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rect {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
}

impl Rect {
    pub(crate) fn width(self) -> f64 {
        self.right - self.left
    }

    pub(crate) fn height(self) -> f64 {
        self.bottom - self.top
    }
}

/// Each colour means one thing, and none of them is the colour of a FAIL, a WARN or an ok.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Color {
    Ink,
    /// Visible on black and on white.
    Gray,
    Blue,
    Violet,
}

impl Color {
    /// `page.css` replaces these values if the page is dark.
    pub(crate) fn css(self) -> &'static str {
        match self {
            Color::Ink => "currentColor",
            Color::Gray => "#888888",
            Color::Blue => "#0072B2",
            Color::Violet => "#7B3FA0",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stroke {
    pub(crate) color: Color,
    pub(crate) width: f64,
    /// From 0 (nothing) to 1 (all).
    pub(crate) opacity: f64,
}

impl Stroke {
    pub(crate) fn new(color: Color, width: f64) -> Stroke {
        Stroke { color, width, opacity: 1.0 }
    }

    fn attributes(self) -> String {
        let mut attributes = format!("stroke=\"{}\" stroke-width=\"{}\"", self.color.css(), Number(self.width));
        if self.opacity < 1.0 {
            let _ = write!(attributes, " opacity=\"{}\"", Number(self.opacity));
        }
        attributes
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextAnchor {
    Start,
    Middle,
    End,
}

impl TextAnchor {
    fn name(self) -> &'static str {
        match self {
            TextAnchor::Start => "start",
            TextAnchor::Middle => "middle",
            TextAnchor::End => "end",
        }
    }
}

/// A number in an attribute: with two decimals at most, and without needless zeros.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = (self.0 * 100.0).round() / 100.0;
        // The sum turns -0 into 0.
        write!(f, "{}", rounded + 0.0)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Canvas {
    width: f64,
    height: f64,
    shapes: String,
    tips: String,
}

impl Canvas {
    pub(crate) fn new(width: f64, height: f64) -> Canvas {
        Canvas { width, height, shapes: String::new(), tips: String::new() }
    }

    pub(crate) fn line(&mut self, from: Position, to: Position, stroke: Stroke) {
        let (x1, y1) = (Number(from.x), Number(from.y));
        let (x2, y2) = (Number(to.x), Number(to.y));
        let stroke = stroke.attributes();
        let _ = writeln!(self.shapes, r#"<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" {stroke}/>"#);
    }

    pub(crate) fn polyline(&mut self, points: &[Position], stroke: Stroke) {
        let points: Vec<String> = points.iter().map(|at| format!("{},{}", Number(at.x), Number(at.y))).collect();
        let (points, stroke) = (points.join(" "), stroke.attributes());
        let _ = writeln!(self.shapes, r#"<polyline points="{points}" fill="none" {stroke}/>"#);
    }

    pub(crate) fn circle(&mut self, center: Position, radius: f64, color: Color) {
        let (x, y, radius) = (Number(center.x), Number(center.y), Number(radius));
        let fill = color.css();
        let _ = writeln!(self.shapes, r#"<circle cx="{x}" cy="{y}" r="{radius}" fill="{fill}"/>"#);
    }

    pub(crate) fn ring(&mut self, center: Position, radius: f64, stroke: Stroke) {
        let (x, y, radius) = (Number(center.x), Number(center.y), Number(radius));
        let stroke = stroke.attributes();
        let _ = writeln!(self.shapes, r#"<circle cx="{x}" cy="{y}" r="{radius}" fill="none" {stroke}/>"#);
    }

    pub(crate) fn text(&mut self, at: Position, anchor: TextAnchor, text: &str) {
        let (x, y, anchor) = (Number(at.x), Number(at.y), anchor.name());
        let (fill, text) = (Color::Ink.css(), escaped(text));
        let _ = writeln!(
            self.shapes,
            r#"<text x="{x}" y="{y}" dy="0.5ex" text-anchor="{anchor}" fill="{fill}">{text}</text>"#
        );
    }

    pub(crate) fn tip_around(&mut self, center: Position, radius: f64, text: &str) {
        let (x, y, radius) = (Number(center.x), Number(center.y), Number(radius));
        let text = escaped(text);
        let _ = writeln!(self.tips, r#"<circle cx="{x}" cy="{y}" r="{radius}"><title>{text}</title></circle>"#);
    }

    pub(crate) fn tip_within(&mut self, rect: Rect, text: &str) {
        let (x, y, text) = (Number(rect.left), Number(rect.top), escaped(text));
        let (width, height) = (Number(rect.width()), Number(rect.height()));
        let _ = writeln!(
            self.tips,
            r#"<rect x="{x}" y="{y}" width="{width}" height="{height}"><title>{text}</title></rect>"#
        );
    }

    /// The whole `<svg>` element. Screen readers read the title and the description.
    pub(crate) fn finish(self, title: &str, description: &str) -> String {
        let Canvas { width, height, shapes, tips } = self;
        let (width, height, font_size) = (Number(width), Number(height), Number(FONT_PX));
        let (title, description) = (escaped(title), escaped(description));
        // The areas of the tips are on top, where the pointer meets them first.
        format!(
            "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
             font-family=\"sans-serif\" font-size=\"{font_size}\">\n\
             <title>{title}</title>\n<desc>{description}</desc>\n{shapes}\
             <g fill=\"none\" pointer-events=\"all\">\n{tips}</g>\n</svg>"
        )
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use roxmltree::{Document, Node};

    use super::{Canvas, Color, Number, Position, Rect, Stroke, TextAnchor};

    #[test]
    fn numbers_have_at_most_two_decimals() {
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
    fn each_shape_is_one_element() {
        let mut canvas = Canvas::new(100.0, 50.0);
        let (a, b) = (Position { x: 1.0, y: 2.0 }, Position { x: 30.5, y: 40.0 });
        let rect = Rect { left: 1.0, top: 2.0, right: 11.0, bottom: 7.25 };
        canvas.tip_around(a, 9.0, "near");
        canvas.tip_within(rect, "inside");
        canvas.line(a, b, Stroke::new(Color::Ink, 2.0));
        canvas.polyline(&[a, b, a], Stroke { color: Color::Blue, width: 1.0, opacity: 0.35 });
        canvas.circle(a, 3.0, Color::Violet);
        canvas.ring(a, 5.0, Stroke::new(Color::Violet, 2.0));
        canvas.text(b, TextAnchor::Middle, "word");
        expect![[r##"
            <svg width="100" height="50" viewBox="0 0 100 50" role="img" font-family="sans-serif" font-size="13">
            <title>name</title>
            <desc>more</desc>
            <line x1="1" y1="2" x2="30.5" y2="40" stroke="currentColor" stroke-width="2"/>
            <polyline points="1,2 30.5,40 1,2" fill="none" stroke="#0072B2" stroke-width="1" opacity="0.35"/>
            <circle cx="1" cy="2" r="3" fill="#7B3FA0"/>
            <circle cx="1" cy="2" r="5" fill="none" stroke="#7B3FA0" stroke-width="2"/>
            <text x="30.5" y="40" dy="0.5ex" text-anchor="middle" fill="currentColor">word</text>
            <g fill="none" pointer-events="all">
            <circle cx="1" cy="2" r="9"><title>near</title></circle>
            <rect x="1" y="2" width="10" height="5.25"><title>inside</title></rect>
            </g>
            </svg>"##]]
        .assert_eq(&canvas.finish("name", "more"));
    }

    #[test]
    fn hostile_text_is_no_markup() {
        let hostile = "</title></svg><script>\"'&amp;";
        let mut canvas = Canvas::new(1.0, 1.0);
        let at = Position { x: 0.0, y: 0.0 };
        canvas.text(at, TextAnchor::End, hostile);
        canvas.tip_around(at, 1.0, hostile);
        canvas.tip_within(Rect { left: 0.0, top: 0.0, right: 1.0, bottom: 1.0 }, hostile);
        let svg = canvas.finish(hostile, hostile);
        let document = Document::parse(&svg).unwrap();
        let texts: Vec<&str> = document.descendants().filter(Node::is_text).filter_map(|node| node.text()).collect();
        assert_eq!(texts.iter().filter(|text| **text == hostile).count(), 5, "{texts:?}");
        assert!(texts.iter().all(|text| *text == hostile || text.trim().is_empty()), "{texts:?}");
    }

    #[test]
    fn the_style_replaces_every_colour_on_a_dark_page() {
        let style = include_str!("page.css");
        for color in [Color::Blue, Color::Violet] {
            for attribute in ["stroke", "fill"] {
                assert!(style.contains(&format!("[{attribute}=\"{}\"] {{", color.css())), "{attribute}, {color:?}");
            }
        }
    }
}
