package inventory

import (
	"fmt"
	"sort"
	"strings"
)

// suggest returns ` Did you mean "x"?` for the known word nearest to given, or
// "" when none is near.
func suggest(given string, known []string) string {
	best, bestDistance := "", 1+max(1, min(3, len(given)/3))
	for _, k := range known {
		if strings.EqualFold(k, given) && k != given {
			return fmt.Sprintf(" Did you mean %q?", k)
		}
		if d := editDistance(given, k, bestDistance); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" Did you mean %q?", best)
}

// editDistance is the number of characters to insert, delete, change or swap
// with a neighbour; it gives up at limit.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	older, old, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range old {
		old[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(old[j]+1, row[j-1]+1, old[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, old, row = old, row, older
	}
	return old[len(b)]
}

// quoted joins words as `"a", "b"`, at most limit of them, the rest counted.
func quoted(words []string, limit int) string {
	var out []string
	for i, w := range words {
		if i == limit {
			out = append(out, fmt.Sprintf("%d more", len(words)-i))
			break
		}
		out = append(out, fmt.Sprintf("%q", w))
	}
	return strings.Join(out, ", ")
}

// sortedKeys are the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
