//! The first two principal components of vectors, by power iteration. All sums are of f64 in one order, so equal vectors give
//! the same map on every machine.

/// The most steps of the power iteration; more do not change a map visibly.
const STEPS: usize = 1_000;
/// The iteration ends when the direction moves less than this.
const TOLERANCE: f64 = 1e-10;

/// The vectors projected on the plane of the first two components.
pub(super) struct Plane {
    /// The coordinates of each vector.
    pub(super) places: Vec<[f64; 2]>,
    /// The share of the variance on each axis.
    pub(super) shares: [f64; 2],
}

impl Plane {
    /// Projects vectors of equal length; there must be at least one.
    pub(super) fn of(vectors: &[Vec<f32>]) -> Self {
        // Subtract the mean.
        let width = vectors[0].len();
        let mut mean = vec![0.0; width];
        for vector in vectors {
            mean.iter_mut().zip(vector).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        for sum in &mut mean {
            *sum /= vectors.len() as f64;
        }
        let centered: Vec<Vec<f64>> = vectors
            .iter()
            .map(|vector| vector.iter().zip(&mean).map(|(value, mean)| f64::from(*value) - mean).collect())
            .collect();
        // The covariance matrix.
        let mut covariance = vec![vec![0.0; width]; width];
        for vector in &centered {
            for (row, a) in covariance.iter_mut().zip(vector) {
                row.iter_mut().zip(vector).for_each(|(sum, b)| *sum += a * b);
            }
        }
        let total: f64 = (0..width).map(|at| covariance[at][at]).sum();
        // The strongest direction, removed from the matrix, then the strongest of the rest.
        let mut axes = [(); 2].map(|()| vec![0.0; width]);
        let mut shares = [0.0; 2];
        for (axis, share) in axes.iter_mut().zip(&mut shares) {
            let (value, direction) = strongest(&covariance);
            for (row, a) in covariance.iter_mut().zip(&direction) {
                row.iter_mut().zip(&direction).for_each(|(left, b)| *left -= value * a * b);
            }
            *share = if total > 0.0 { value / total } else { 0.0 };
            *axis = direction;
        }
        let places = centered.iter().map(|vector| [dot(vector, &axes[0]), dot(vector, &axes[1])]).collect();
        Self { places, shares }
    }
}

/// The largest eigenvalue of a positive semidefinite matrix, and its unit eigenvector; zeros for a zero matrix.
fn strongest(matrix: &[Vec<f64>]) -> (f64, Vec<f64>) {
    let start = (0..matrix.len()).max_by(|&a, &b| matrix[a][a].total_cmp(&matrix[b][b]));
    let mut direction = start.map_or_else(Vec::new, |at| matrix[at].clone());
    if !normalize(&mut direction) {
        return (0.0, vec![0.0; matrix.len()]);
    }
    let mut value = 0.0;
    for _ in 0..STEPS {
        let mut next: Vec<f64> = matrix.iter().map(|row| dot(row, &direction)).collect();
        value = dot(&next, &direction);
        if !normalize(&mut next) {
            break;
        }
        let moved: f64 = next.iter().zip(&direction).map(|(a, b)| (a - b) * (a - b)).sum();
        direction = next;
        if moved < TOLERANCE * TOLERANCE {
            break;
        }
    }
    (value.max(0.0), direction)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Scales a vector to length 1; false for a zero vector.
fn normalize(vector: &mut [f64]) -> bool {
    let length = dot(vector, vector).sqrt();
    let has_length = length > 1e-150;
    if has_length {
        for value in vector {
            *value /= length;
        }
    }
    has_length
}

#[cfg(test)]
mod tests {
    use super::Plane;

    /// Points along (3, 4), with small offsets along (4, -3).
    #[test]
    fn the_axes_are_the_directions_of_largest_variance() {
        let point = |a: f32, b: f32| vec![0.6 * a + 0.8 * b, 0.8 * a - 0.6 * b, 7.0];
        let plane = Plane::of(&[point(-2.0, 0.5), point(-1.0, -0.5), point(1.0, -0.5), point(2.0, 0.5)]);
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found}");
        near(plane.shares[0], 10.0 / 11.0);
        near(plane.shares[1], 1.0 / 11.0);
        near(plane.places[3][0].abs(), 2.0);
        near((plane.places[3][0] - plane.places[0][0]).abs(), 4.0);
        near(plane.places[0][1].abs(), 0.5);
    }

    #[test]
    fn equal_vectors_have_equal_coordinates() {
        let plane = Plane::of(&vec![vec![1.0, 2.0]; 3]);
        assert_eq!((plane.places, plane.shares), (vec![[0.0; 2]; 3], [0.0; 2]));
    }
}
