// Package get is `periplus get`: one run on one screen, the same watched, or the runs of a namespace.
package get
