//! The plot of the README: megabytes of row text a second, one bar for each contestant.

use plotters::prelude::*;

/// One bar.
#[derive(Debug, Clone)]
pub struct Mark {
    /// Whose.
    pub name: String,
    /// Megabytes a second.
    pub rate: f64,
}

const WIDTH: i32 = 820;
const ROW: i32 = 34;
const LEFT: i32 = 330;
const TOP: i32 = 44;

/// Draws horizontal bars into an SVG file.
pub fn draw(path: &std::path::Path, title: &str, marks: &[Mark]) -> Result<(), Box<dyn std::error::Error>> {
    let rows = i32::try_from(marks.len())?;
    let height = TOP + rows * ROW + 14;
    let root = SVGBackend::new(path, (u32::try_from(WIDTH)?, u32::try_from(height)?)).into_drawing_area();
    root.fill(&WHITE)?;
    root.draw(&Text::new(title.to_owned(), (14, 14), ("sans-serif", 17)))?;
    let most = marks.iter().map(|m| m.rate).fold(1.0, f64::max);
    for (row, mark) in (0..).zip(marks) {
        let top = TOP + row * ROW;
        #[allow(clippy::cast_possible_truncation)]
        let end = LEFT + (mark.rate / most * f64::from(WIDTH - LEFT - 90)) as i32;
        let color = match mark.name.as_str() {
            "Sennight" => RGBColor(33, 102, 172),
            name if name.starts_with("ceiling") => RGBColor(190, 190, 190),
            _ => RGBColor(146, 178, 207),
        };
        root.draw(&Text::new(mark.name.clone(), (14, top + 6), ("sans-serif", 14)))?;
        root.draw(&Rectangle::new([(LEFT, top), (end, top + ROW - 10)], color.filled()))?;
        root.draw(&Text::new(format!("{:.0} MB/s", mark.rate), (end + 8, top + 6), ("sans-serif", 14)))?;
    }
    root.present()?;
    Ok(())
}
