use std::collections::HashSet;

use super::*;
use crate::linalg::rounded_rows::RoundedRows;

/// The nearest rows without a cancellation.
fn nearest(scan: &Scan, query: &[f32], request: &ScanRequest<'_>) -> Vec<Hit> {
    scan.nearest(query, request, &CancelToken::new()).expect("nobody cancels")
}

/// A pseudorandom number in [-1, 1).
fn number(at: usize) -> f32 {
    let mixed = (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// Unit vectors in clusters; every tenth is equal to the one before.
fn unit_vectors(rows: usize, dim: usize, seed: usize) -> RoundedRows {
    let mut all = vec![0.0f32; rows * dim];
    for row in 0..rows {
        let like = if row % 10 == 9 { row - 1 } else { row };
        let values = &mut all[row * dim..][..dim];
        for (column, value) in values.iter_mut().enumerate() {
            let topic = number(seed * 7919 + like % 13 * 1000 + column);
            *value = topic + 0.5 * number(seed * 104_729 + like * dim + column);
        }
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        for value in values.iter_mut() {
            *value /= length.max(1e-9);
        }
    }
    RoundedRows::of(&all, dim)
}

/// All rows, scored one by one and sorted.
fn sorted(scan: &Scan, query: &[f32], request: &ScanRequest<'_>) -> Vec<(u32, u32)> {
    let mut hits: Vec<Hit> = (0..scan.rows())
        .filter(|row| (request.mask)(row / BLOCK * BLOCK) >> (row % BLOCK) & 1 == 1)
        .map(|row| {
            (row as u32, scan.score(&scan.query(query), row) + request.bias.map_or(0.0, |bias| bias[row]))
        })
        .collect();
    hits.sort_by(|a, b| b.1.total_cmp(&a.1).then((request.order)(a.0).cmp(&(request.order)(b.0))));
    hits.truncate(request.k);
    bits(hits)
}

fn bits(hits: Vec<Hit>) -> Vec<(u32, u32)> {
    hits.into_iter().map(|(row, score)| (row, score.to_bits())).collect()
}

#[test]
fn a_scan_finds_the_rows_that_sorting_all_rows_finds() {
    for (seed, (rows, dim)) in
        [(1, 3), (63, 16), (500, 8), (3000, 24), (20_000, 40), (9000, 128)].into_iter().enumerate()
    {
        let mut changed = SharedRows::from(unit_vectors(rows, dim, seed));
        let mut scan = Scan::new(changed.clone());
        // Some rows are set later, as by a refresh.
        let others = unit_vectors(rows, dim, seed + 100);
        let later: Vec<u32> = (0..rows as u32).step_by(7).collect();
        for &row in &later {
            changed.set_later(row, others.stored().row(row as usize));
        }
        changed.apply_changes();
        scan.follow(&changed, &later);
        let bias: Vec<f32> = (0..rows).map(|row| 0.3 * number(row)).collect();
        let order = |row: u32| u64::from(row.wrapping_mul(2_654_435_761));
        for (k, one_in, with_bias) in [
            (10, 1, true),
            (10, 1, false),
            (1, 100, true),
            (10, 100, false),
            (40, 3, true),
            (rows, 2, true),
            (0, 1, false),
        ] {
            let mask = |first: usize| {
                (0..BLOCK)
                    .filter(|at| ((first + at) * 31).is_multiple_of(one_in))
                    .fold(0, |word, at| word | 1u64 << at)
            };
            let bias = with_bias.then_some(&bias[..]);
            let request = ScanRequest { bias, ..ScanRequest::new(k, &mask, &order) };
            let queries: Vec<Vec<f32>> = (0..5).map(|at| scan.numbers(at * 37 % rows)).collect();
            let queries: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
            let expected: Vec<_> = queries.iter().map(|query| sorted(&scan, query, &request)).collect();
            let found: Vec<_> = queries.iter().map(|query| bits(nearest(&scan, query, &request))).collect();
            assert_eq!(found, expected, "seed {seed}, {rows} x {dim}, k {k}, one in {one_in}");
            let each = scan.nearest_each(&queries, &request, &|_, _| false, &CancelToken::new());
            let each = each.expect("nobody cancels");
            assert_eq!(each.into_iter().map(bits).collect::<Vec<_>>(), expected);
        }
    }
}

#[test]
fn rows_are_excluded_from_one_query_of_a_batch_only() {
    let scan = Scan::new(unit_vectors(300, 16, 1));
    let (mask, order) = (|_: usize| !0, |row: u32| u64::from(row));
    let request = ScanRequest::new(300, &mask, &order);
    let queries = [scan.numbers(3), scan.numbers(4)];
    let queries = queries.each_ref().map(Vec::as_slice);
    let is_excluded = |query: usize, row: u32| row as usize % 2 == query;
    let found = scan.nearest_each(&queries, &request, &is_excluded, &CancelToken::new());
    for (query, hits) in found.expect("nobody cancels").iter().enumerate() {
        let rows: HashSet<u32> = hits.iter().map(|hit| hit.0).collect();
        assert_eq!(rows, (0..300).filter(|row| row % 2 != query as u32).collect());
    }
}

#[test]
fn further_scores_of_a_query_are_added_to_its_own_only() {
    let scan = Scan::new(unit_vectors(300, 16, 2));
    let (mask, order) = (|_: usize| !0, |row: u32| u64::from(row));
    let request = ScanRequest::new(300, &mask, &order);
    let queries = [scan.numbers(3), scan.numbers(4), scan.numbers(5)];
    let queries = queries.each_ref().map(Vec::as_slice);
    let further: Vec<f32> = (0..300).map(|row| if row % 7 == 0 { number(row) } else { 0.0 }).collect();
    let all_further = [None, Some(&further[..]), None];
    let cancel = CancelToken::new();
    let found = scan.nearest_each_with(&queries, &all_further, &request, &|_, _| false, &cancel);
    for (at, hits) in found.expect("nobody cancels").into_iter().enumerate() {
        for (row, score) in hits {
            let more = if at == 1 { further[row as usize] } else { 0.0 };
            assert_eq!(
                score.to_bits(),
                (scan.score(&scan.query(queries[at]), row as usize) + more).to_bits(),
                "{at} {row}"
            );
        }
    }
}

#[test]
fn rows_of_zeros_and_queries_of_zeros_score_zero_and_have_an_order() {
    let mut scan = Scan::new(RoundedRows::zeros(0, 4));
    scan.grow(200);
    scan.set_later(150, &[0.0, 1.0, 0.0, 0.0]);
    scan.apply_changes();
    let (mask, order) = (|_: usize| !0, |row: u32| u64::from(1000 - row));
    let request = ScanRequest::new(3, &mask, &order);
    assert_eq!(nearest(&scan, &[0.0; 4], &request), [(199, 0.0), (198, 0.0), (197, 0.0)]);
    assert_eq!(nearest(&scan, &[0.0, 1.0, 0.0, 0.0], &request), [(150, 1.0), (199, 0.0), (198, 0.0)]);
}

/// Every tenth row ties with the one before, so pages end within ties too.
#[test]
fn hits_after_a_hit_and_above_a_score_are_the_rest_of_the_whole_list() {
    let scan = Scan::new(unit_vectors(20_000, 8, 3));
    let (mask, order) =
        (|first: usize| !(first as u64), |row: u32| u64::from(row.wrapping_mul(2_654_435_761)));
    for scale in [1.0, 1e-5] {
        let request = ScanRequest { scale, ..ScanRequest::new(20_000, &mask, &order) };
        let all = nearest(&scan, &scan.numbers(3), &request);
        for (from, k) in [(0, 1), (1, 7), (777, 10), (all.len() - 3, 10)] {
            let (row, score) = all[from];
            let bounds = Bounds { after: Some((score, order(row))), ..Bounds::default() };
            let page = nearest(&scan, &scan.numbers(3), &ScanRequest { k, bounds, ..request });
            assert_eq!(page, all[from + 1..all.len().min(from + 1 + k)], "{k} after {from}");
            let bounds = Bounds { least: score, after: None };
            let high = nearest(&scan, &scan.numbers(3), &ScanRequest { bounds, ..request });
            assert_eq!(high, all[..all.partition_point(|hit| hit.1 >= score)], "down to {from}");
        }
    }
}

#[test]
fn a_cancelled_scan_has_no_answer() {
    let scan = Scan::new(unit_vectors(300, 16, 1));
    let (mask, order, cancel) = (|_: usize| !0, |row: u32| u64::from(row), CancelToken::new());
    cancel.cancel();
    let stopped = scan.nearest(&scan.numbers(3), &ScanRequest::new(3, &mask, &order), &cancel);
    assert!(matches!(stopped, Err(Error::Cancelled)));
}
