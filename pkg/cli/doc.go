// Package cli is the periplus command: one package below it for each of its commands.
package cli
