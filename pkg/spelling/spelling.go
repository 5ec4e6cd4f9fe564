// Package spelling finds the word that was likely meant by one that is not known. It imports nothing of ours.
package spelling

import "strings"

// Nearest returns the known word that is fewest letters away from word, whatever their case, the first of several; empty where none is near:
// more than one letter, and one more for every three of word, must then be put in, taken out or changed.
func Nearest(word string, known []string) string {
	best, least := "", 1+len(word)/3
	for _, k := range known {
		if d := Distance(strings.ToLower(word), strings.ToLower(k)); d < least || (d == least && best == "") {
			best, least = k, d
		}
	}
	return best
}

// Distance is how many letters must be put in, taken out or changed to make one text of the other.
func Distance(from, to string) int {
	a, b := []rune(from), []rune(to)
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j := range b {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
