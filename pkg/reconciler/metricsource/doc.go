// Package metricsource keeps the condition Answers of MetricSources: whether each of their servers answers the least there is with the credentials given, and why not.
// It asks when a spec changed, every five minutes while all is well, and every thirty seconds while it is not. Guards do not wait for it, and nothing hangs on it.
//
// It may import pkg/apis, pkg/guard/source/book, pkg/loop and the generated clients.
package metricsource
