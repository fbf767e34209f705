package sim

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// stat stands in for GNU's "stat [-L] -c FORMAT FILE…" where the system has
// another.
func (p *process) stat() int {
	var format string
	var files []string
	follow := false
	for i := 0; i < len(p.args); i++ {
		switch a := p.args[i]; {
		case a == "-L":
			follow = true
		case a == "--":
			files = append(files, p.args[i+1:]...)
			i = len(p.args)
		case a == "-c" && i+1 < len(p.args):
			i++
			format = p.args[i]
		case !strings.HasPrefix(a, "-"):
			files = append(files, a)
		}
	}
	status := 0
	for _, f := range files {
		look := os.Lstat
		if follow {
			look = os.Stat
		}
		info, err := look(f)
		if err != nil {
			p.complain("stat: cannot statx '%s': No such file or directory\n", f)
			status = 1
			continue
		}
		p.say("%s\n", statText(format, f, info))
	}
	return status
}

func statText(format, name string, info os.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		switch format[i] {
		case 'n':
			b.WriteString(name)
		case 'i':
			fmt.Fprint(&b, st.Ino)
		case 's':
			fmt.Fprint(&b, info.Size())
		case 'd':
			fmt.Fprint(&b, st.Dev)
		case 'a':
			fmt.Fprintf(&b, "%o", uint32(st.Mode)&0o7777)
		case 'f':
			fmt.Fprintf(&b, "%x", uint32(st.Mode))
		case 'u':
			fmt.Fprint(&b, st.Uid)
		case 'g':
			fmt.Fprint(&b, st.Gid)
		case 'U':
			b.WriteString(userName(st.Uid))
		case 'G':
			b.WriteString(groupName(st.Gid))
		case 'Y':
			fmt.Fprint(&b, info.ModTime().Unix())
		default:
			b.WriteByte('?')
		}
	}
	return b.String()
}

func userName(id uint32) string {
	if u, err := user.LookupId(strconv.Itoa(int(id))); err == nil {
		return u.Username
	}
	return "UNKNOWN"
}

func groupName(id uint32) string {
	if g, err := user.LookupGroupId(strconv.Itoa(int(id))); err == nil {
		return g.Name
	}
	return "UNKNOWN"
}
