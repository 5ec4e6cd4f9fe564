// Package start is `periplus start`: a run of a pipeline with params, and following it to an exit code that a CI can go by.
package start
