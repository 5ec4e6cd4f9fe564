// Package hub reaches the cluster where stages run: the flags that say which and as whom, the clients, and errors in words that say
// what a person can do. Flags and kubeconfig files mean what they mean to kubectl: clientcmd's standard loading rules apply.
//
// It may import clients and nothing else of the command line.
package hub
