package remote

import (
	"fmt"
	"strings"
)

// quote returns the word as any POSIX shell, zsh and fish read it back.
// Backslashes stand outside of the quotes because fish reads them within.
func quote(word string) string {
	if plain(word) {
		return word
	}
	var b strings.Builder
	b.Grow(len(word) + 8)
	b.WriteByte('\'')
	for i := 0; i < len(word); i++ {
		switch word[i] {
		case '\'':
			b.WriteString(`'\''`)
		case '\\':
			b.WriteString(`'\\'`)
		default:
			b.WriteByte(word[i])
		}
	}
	b.WriteByte('\'')
	return b.String()
}

func plain(word string) bool {
	for i := 0; i < len(word); i++ {
		c := word[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("_./:@,+-", c) >= 0:
		default:
			return false
		}
	}
	return word != ""
}

// quoteAll joins the words to one command line.
func quoteAll(words []string) (string, error) {
	var b strings.Builder
	for i, w := range words {
		if strings.IndexByte(w, 0) >= 0 {
			return "", fmt.Errorf("argument %d contains a NUL byte", i)
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(quote(w))
	}
	return b.String(), nil
}
