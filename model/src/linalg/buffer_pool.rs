//! Reuse of the memory of matrices.

use ndarray::Array2;

/// A buffer that must grow gets one part in this many more than requested.
const ROOM: usize = 8;

/// Buffers of matrices that are no longer used, for later matrices.
///
/// A training step makes about twenty matrices of nearly the same sizes as the step before. New memory from the
/// system costs a page fault for each page, which took a sixth of training time.
#[derive(Default)]
pub(crate) struct BufferPool {
    buffers: Vec<Vec<f32>>,
}

impl BufferPool {
    /// A matrix with undefined content; the caller writes all of it.
    pub(crate) fn matrix(&mut self, rows: usize, columns: usize) -> Array2<f32> {
        let values = rows * columns;
        // The smallest buffer that is large enough, or else the largest buffer, which then grows.
        let fit = |buffer: &Vec<f32>| {
            let room = buffer.capacity();
            if room >= values { (false, room) } else { (true, usize::MAX - room) }
        };
        let found = (0..self.buffers.len()).min_by_key(|&at| fit(&self.buffers[at]));
        let mut buffer = found.map_or_else(Vec::new, |at| self.buffers.swap_remove(at));
        if buffer.capacity() < values {
            buffer = Vec::with_capacity(values + values / ROOM);
        }
        buffer.resize(values, 0.0);
        Array2::from_shape_vec((rows, columns), buffer).expect("as many numbers as the shape has")
    }

    /// A pool whose buffers are full of NaN, so that tests notice numbers that nobody wrote.
    #[cfg(test)]
    pub(crate) fn with_nan() -> Self {
        Self { buffers: vec![vec![f32::NAN; 1 << 16]; 4] }
    }

    /// The number of buffers that are ready for use.
    #[cfg(test)]
    pub(crate) fn available(&self) -> usize {
        self.buffers.len()
    }

    /// Returns the memory of a matrix to the pool.
    pub(crate) fn recycle(&mut self, matrix: Array2<f32>) {
        self.buffers.push(matrix.into_raw_vec_and_offset().0);
    }
}

#[cfg(test)]
mod tests {
    use super::BufferPool;

    #[test]
    fn a_matrix_has_the_memory_of_the_smallest_that_is_large_enough() {
        let mut buffers = BufferPool::default();
        let (large, small) = (buffers.matrix(40, 10), buffers.matrix(10, 10));
        let addresses = [large.as_ptr(), small.as_ptr()];
        buffers.recycle(large);
        buffers.recycle(small);
        let (of_small, of_large) = (buffers.matrix(5, 21), buffers.matrix(7, 60));
        assert_eq!([of_large.as_ptr(), of_small.as_ptr()], addresses);
        assert_eq!((of_large.dim(), of_small.dim()), ((7, 60), (5, 21)));
        buffers.recycle(of_small);
        assert_eq!(buffers.matrix(100, 100).dim(), (100, 100));
        assert!(buffers.buffers.is_empty(), "the small one has grown");
    }
}
