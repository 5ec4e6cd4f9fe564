// Package prometheus asks servers that speak Prometheus's HTTP API: Prometheus itself, Thanos, Mimir, VictoriaMetrics.
//
// It goes through Prometheus's own client and reads queries with Prometheus's own parser, so that what is accepted here is what the server accepts; dialects that
// go further, and functions that are experimental, are refused. What it rests on:
//
//   - Queries for a value now carry no time: the server's clock decides, and a clock of ours that is wrong cannot move the window. Queries over a range need
//     times; they are the server's own, as its time() says.
//   - A query looks back no farther than its window says, since the window decides which samples count. Ranges, offsets and subqueries add up as Prometheus evaluates
//     them; how old the newest value of a selector without a range can be (the server's lookback, 5m) does not count.
//   - A partial answer must not be taken for whole. A warning of the API is an error, as is an answer that says it is partial: what such warnings tell is that a
//     store did not answer, that results were cut, or that samples of the query had to be left out. What the API calls infos is not.
//   - Nothing the server says is shown where it could hold what we sent: an error never has a password or a token in it, even where the server sends them back.
//   - Redirects are not followed: credentials would go along.
//   - Answers are bounded in bytes and in series.
//
// It imports the contract (pkg/guard/source, pkg/guard), Prometheus's client and parser, and the standard library. It reads no Secret: pkg/guard/source/book does.
package prometheus
