//! Directed graphs as lists of predecessors: an order of an acyclic one, the cycles of any other.

use std::collections::VecDeque;

/// By node: the nodes before it.
pub(super) type Graph = Vec<Vec<usize>>;

/// More cycles than these are not looked for: the first few tell what is wrong.
const CYCLES_MAX: usize = 10;

/// The nodes, each after all before it, and otherwise as in the numbering; `None` if there is a cycle.
pub(super) fn topological(graph: &Graph) -> Option<Vec<usize>> {
    let mut after: Graph = vec![Vec::new(); graph.len()];
    let mut missing: Vec<usize> = graph.iter().map(Vec::len).collect();
    for (node, before) in graph.iter().enumerate() {
        for earlier in before {
            after[*earlier].push(node);
        }
    }
    let mut order: Vec<usize> = (0..graph.len()).filter(|n| missing[*n] == 0).collect();
    let mut done = 0;
    while done < order.len() {
        for later in &after[order[done]] {
            missing[*later] -= 1;
            if missing[*later] == 0 {
                order.push(*later);
            }
        }
        done += 1;
    }
    (order.len() == graph.len()).then_some(order)
}

/// Cycles without a node in common, the shortest first, until what is left has none (or there are ten of them).
/// In each, every node is before the next and the last is before the first.
pub(super) fn cycles(graph: &Graph) -> Vec<Vec<usize>> {
    let mut graph = graph.clone();
    let mut found = Vec::new();
    while found.len() < CYCLES_MAX {
        strip(&mut graph);
        let shortest = (0..graph.len())
            .filter_map(|n| cycle_through(&graph, n))
            .min_by_key(Vec::len);
        let Some(cycle) = shortest else { break };
        for node in &cycle {
            graph[*node].clear();
        }
        found.push(cycle);
    }
    found
}

/// Takes away, as often as that is possible, what has nothing before it.
fn strip(graph: &mut Graph) {
    loop {
        let gone: Vec<bool> = graph.iter().map(Vec::is_empty).collect();
        let mut changed = false;
        for before in graph.iter_mut() {
            let length = before.len();
            before.retain(|n| !gone[*n]);
            changed |= before.len() != length;
        }
        if !changed {
            return;
        }
    }
}

fn cycle_through(graph: &Graph, start: usize) -> Option<Vec<usize>> {
    let mut next = vec![None; graph.len()];
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for earlier in &graph[node] {
            if next[*earlier].is_none() {
                next[*earlier] = Some(node);
                if *earlier == start {
                    let along = |n: &usize| next[*n].filter(|n| *n != start);
                    return Some(std::iter::successors(Some(start), along).collect());
                }
                queue.push_back(*earlier);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acyclic_graph_is_ordered_causes_first() {
        assert_eq!(
            topological(&vec![vec![2], vec![0], vec![]]),
            Some(vec![2, 0, 1])
        );
    }

    #[test]
    fn the_shortest_cycle_is_found_first_and_what_merely_follows_is_none() {
        // 0 → 1 → 2 → 0, 3 → 4 → 3, 2 → 5, 6 → 3
        let graph = vec![
            vec![2],
            vec![0],
            vec![1],
            vec![4, 6],
            vec![3],
            vec![2],
            vec![],
        ];
        assert_eq!(topological(&graph), None);
        let cycles = cycles(&graph);
        assert_eq!(cycles[0], [3, 4]);
        assert_eq!(cycles[1], [0, 1, 2]);
        assert_eq!(cycles.len(), 2);
    }
}
