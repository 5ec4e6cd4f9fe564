// Package debian gets programs for tests out of Debian's packages into the cache of built programs, once, by apt: nothing is installed and no service
// is started, so it needs no root. It imports nothing of the product but where programs are cached.
package debian
