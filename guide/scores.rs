//! Scores from the graph: the graph filter, residual factors, related items, items without lists, and what a training fits.
//!
//! A training fits them unless [`TrainOptions::factors`](crate::TrainOptions::factors) is false. A kind has them if its items have
//! *lists*: nodes of another kind that they are linked to, such as users, boards or baskets.
//! [`Engine::recommend`](crate::Engine::recommend) and [`Engine::similar`](crate::Engine::similar) then answer from them, and
//! [`Ranked::source`](crate::Ranked::source) is [`AnswerSource::Graph`](crate::AnswerSource::Graph).
//!
//! # Recommendations
//!
//! A history H is the items of a recipient. With d for the number of edges of a node, the score of item j is
//!
//! ```text
//! score(H, j) = d_j^-e * (scale * d_j^-c * F(H, j) + q_H . z_j)  +  w * cosine(p_H, p_j)
//! F(H, j)     = sum over i in H of  s_Hi d_i^-a * sum over the lists v of both i and j of  s_iv s_vj d_v^-b
//! ```
//!
//! The strength s of an edge is the weight of its relation, 1 unless relations were weighed, times its own where weights fade. An item
//! that was named has s = 1.
//!
//! - F is the **graph filter**: two exact hops, from the items of the history to their lists and on to other items. It reads the graph
//!   as it is, so an edge counts in the next answer. The exponents damp what is frequent.
//! - z are the **residual factors**: 64 numbers an item, fitted to what the filter leaves over. q are the factors of the history, which
//!   are computed from z for each question. They mostly take away what the filter gives too much, so they find little alone. Factors are
//!   part of the model. An item that came after the training has none, so filter and embedding score it; the next training fits them.
//! - p are the **embeddings**: that of the item, and the unit vector of the sum over the history. Their weight w is fitted too, and is 0
//!   where they do not help.
//! - `d_j^-e` has the degree of the last refresh, in steps of a quarter, where it multiplies the factors.
//!
//! # Related items
//!
//! The score of an item j for an item q counts shared lists, directly and over one item between them:
//!
//! ```text
//! C_ij  = sum over the lists v of both i and j of  s_iv s_vj d_v^-b
//! N_ij  = the 100 largest C_ij d_j^-.1 of item i, divided by their sum
//! score = d_j^-c C_qj / (sum over l of C_ql)  +  w * sum over i of N_qi N_ij
//! ```
//!
//! This ranks the nodes of kinds without features, or with [`Ids::On`](crate::Ids::On). Other kinds are ranked by embeddings, which know
//! from titles and tags what the graph does not; no fit weighs the two against each other yet.
//!
//! All of it is read from the graph as it is. Items that it does not reach follow in the order of their embeddings.
//!
//! # Items without lists
//!
//! A cold item, which nobody has taken yet, is found by its tokens. A token that df of the n items with tokens have counts
//! `ln(n / df)^rarity`. The hundred items with lists whose tokens have the largest cosines stand for the cold item q:
//!
//! ```text
//! C_ij  = sum over the lists v of both i and j of  d_v^-1/2;  C_ii is multiplied by `own`
//! score = d_j^-degree * sum over the similar items i of  cosine(q, i)^2 * d_i^-item * C_ij
//! ```
//!
//! So the answer is what goes with items that look alike, and with a large `own` these items themselves.
//! [`Engine::similar`](crate::Engine::similar) ranks so for a node without lists, and
//! [`Engine::recommend`](crate::Engine::recommend) for a history of such items, of which ten count. Tokens are those of the last
//! refresh, lists those of the last commit. So an item is ranked this way until its first edge, and again from the loss of its last one. In
//! stores with dense blocks embeddings answer, because they know the blocks.
//!
//! # Relations and dislikes
//!
//! [`TrainOptions::relations`](crate::TrainOptions::relations) names the relations that count, with weights: a view says less than a
//! purchase. Walks follow a relation in proportion to its weight. In sums an edge counts with it on each hop, and in the loss of the
//! factors as the confidence of the edge. Positives are drawn in proportion to it. Degrees and histories are those of the chosen
//! relations; they are numbers of edges, without weights. The weights are a part of the model, so a refresh has them too.
//!
//! An edge of a relation of dislikes ([`RelationOptions::is_dislike`](crate::RelationOptions)) is in no walk, sum, degree or history, and
//! a refresh after it recomputes no row. What a node dislikes is left out of its answers, also with
//! [`Query::include_seen`](crate::Query::include_seen), with candidates and in [`Engine::score`](crate::Engine::score). An item that is
//! both liked and disliked counts as disliked for the one who asks. A training takes what a list dislikes as hard negatives of its
//! positives.
//!
//! # Weights that fade
//!
//! In a relation with a half-life h ([`RelationOptions::half_life`](crate::RelationOptions)) an edge of weight w and time t counts as
//! `w * 2^(t / h)`. All weights of a list fade alike, so walks read the same proportions at any moment. Time alone makes nothing dirty,
//! and equal stores have equal digests on any day. A new edge makes its list's largest weight grow. About once a half-life that weight
//! passes a power of two, and then most walks through the list change: a refresh after such an edge recomputes more rows.
//!
//! In sums and factors an edge has the strength `w * 2^((t - t0) / h)`, with t0 the time of the last such edge at training. It keeps the
//! scale beside the constants that were fitted then. An edge that comes k half-lives later counts 2^k times as much, so train again every
//! few half-lives.
//!
//! # The fit
//!
//! A training hides a fifth of the edges of every list, and searches the constants whose ranking finds those of up to 3,000 lists best.
//! An edge counts there with its strength.
//! The degrees and sums of the search do not have the hidden edges. If there are few lists, it ranks three such sets of edges, because
//! one leaves much to chance. For related items it hides one list of twenty, four times, and ranks pairs that occur together in the hidden
//! ones more often than by chance. For items without lists it asks for up to 500 items as if they had none, and ranks what they occur
//! together with. In a graph of more than four million edges the search sees the longest lists and the items with the most edges only.
//! Then the factors are fitted to the whole graph.
//!
//! The epochs hold other edges out ([`TrainOptions::held_out`](crate::TrainOptions::held_out)): no example of a list knows its held-out
//! items. These edges are ranked by factors that were fitted without them, and by embeddings of neighborhoods without their lists. w is
//! the smallest weight that ranks them as well as the best one does, up to half a standard error. After each epoch this decides whether
//! the training goes on ([`TrainOptions::patience`](crate::TrainOptions::patience)), and at its end it gives w, which
//! [`TrainEvent::Weighed`](crate::TrainEvent::Weighed) reports.
//!
//! [`TrainEvent::Fitted`](crate::TrainEvent::Fitted) reports the constants, the recall of hidden edges by the filter
//! alone, and by both parts. The same graph and seed give the same constants and factors. A graph whose lists have fewer than five
//! items has no fit; embeddings answer then.
//!
//! # Explanations
//!
//! With [`Query::explain`](crate::Query::explain), [`AnswerExplanation`](crate::AnswerExplanation) has the parts of the score. Its
//! connection is the item of the history that most of the filter's part came from, with the lists that both share.
//!
//! # Freshness
//!
//! Sums are added in an order that depends on names only. So two stores with the same edges and the same model give the same scores to
//! the bit, whatever happened to them before. Between a commit and the next refresh, the filter has the new edges already, and degrees
//! beside the factors and the embeddings do not.
//!
//! # Sources
//!
//! - Paudel et al., "Updatable, accurate, diverse, and scalable recommendations for interactive applications" (ACM TIIS 2017): `RP3beta`,
//!   two hops with one damped degree.
//! - Shen et al., "How powerful is graph convolution for recommendation?" (CIKM 2021): `GF-CF`, the same two hops as a filter.
//! - Hu et al., "Collaborative filtering for implicit feedback datasets" (ICDM 2008): alternating least squares. Rendle et al.,
//!   "Revisiting the performance of iALS on item recommendation benchmarks" (`RecSys` 2022): the weights of the squares.
//!
//! Fitting the factors to the residual of the filter, with each edge left out of its own score, is ours.
