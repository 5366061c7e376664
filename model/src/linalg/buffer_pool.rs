//! Memory of matrices that are done with, for those that come next.

use ndarray::Array2;

/// By so much of its size memory that must grow is larger than asked.
const ROOM: usize = 8;

/// A step of a training makes some twenty matrices, the next one as many of nearly the same sizes. Fresh from the system each costs a
/// fault for every page of it, which took a sixth of a training's time.
#[derive(Default)]
pub(crate) struct BufferPool {
    memories: Vec<Vec<f32>>,
}

impl BufferPool {
    /// A matrix of that shape, of numbers that mean nothing: whoever asks writes all of them.
    pub(crate) fn matrix(&mut self, rows: usize, columns: usize) -> Array2<f32> {
        let values = rows * columns;
        // The smallest that is large enough, or else the largest, which grows.
        let fit = |memory: &Vec<f32>| {
            let room = memory.capacity();
            if room >= values { (false, room) } else { (true, usize::MAX - room) }
        };
        let found = (0..self.memories.len()).min_by_key(|&at| fit(&self.memories[at]));
        let mut memory = found.map_or_else(Vec::new, |at| self.memories.swap_remove(at));
        if memory.capacity() < values {
            memory = Vec::with_capacity(values + values / ROOM);
        }
        memory.resize(values, 0.0);
        Array2::from_shape_vec((rows, columns), memory).expect("as many numbers as the shape has")
    }

    /// Memory that holds no number, as memory that was used before may.
    #[cfg(test)]
    pub(crate) fn used() -> Self {
        Self { memories: vec![vec![f32::NAN; 1 << 16]; 4] }
    }

    /// How many matrices were given back and not asked for since.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.memories.len()
    }

    /// Takes back a matrix that is done with.
    pub(crate) fn keep(&mut self, matrix: Array2<f32>) {
        self.memories.push(matrix.into_raw_vec_and_offset().0);
    }
}

#[cfg(test)]
mod tests {
    use super::BufferPool;

    #[test]
    fn a_matrix_has_the_memory_of_the_smallest_that_is_large_enough() {
        let mut spare = BufferPool::default();
        let (large, small) = (spare.matrix(40, 10), spare.matrix(10, 10));
        let places = [large.as_ptr(), small.as_ptr()];
        spare.keep(large);
        spare.keep(small);
        let (of_small, of_large) = (spare.matrix(5, 21), spare.matrix(7, 60));
        assert_eq!([of_large.as_ptr(), of_small.as_ptr()], places);
        assert_eq!((of_large.dim(), of_small.dim()), ((7, 60), (5, 21)));
        spare.keep(of_small);
        assert_eq!(spare.matrix(100, 100).dim(), (100, 100));
        assert!(spare.memories.is_empty(), "the small one has grown");
    }
}
