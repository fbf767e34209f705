package importer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFile bounds one file, in bytes.
const maxFile = 16 << 20

// Ansible reads an inventory: a file in INI, YAML or the JSON of
// ansible-inventory --list, or a folder of such files, and the group_vars and
// host_vars beside them. A program that prints an inventory is not run.
func Ansible(path string) (Inventory, error) {
	var inv Inventory
	t := newTree(&inv)
	files, err := sourcesOf(path)
	if err != nil {
		return inv, err
	}
	for _, f := range files {
		if err := t.read(f); err != nil {
			return inv, err
		}
	}
	dir := path
	if len(files) == 1 && files[0] == path {
		dir = filepath.Dir(path)
	}
	if err := t.beside(dir); err != nil {
		return inv, err
	}
	t.besidePlaybooks(dir)
	t.resolve()
	inv.order()
	switch {
	case len(inv.Hosts) > 0:
	case len(t.hosts) > 0:
		return inv, fmt.Errorf("cannot take a host of %s over: its %s left out, as told above", path, are(len(t.hosts)))
	default:
		return inv, fmt.Errorf("cannot find a host in %s: is it an Ansible inventory?", path)
	}
	return inv, nil
}

func are(hosts int) string {
	if hosts == 1 {
		return "1 host is"
	}
	return fmt.Sprintf("%d hosts are", hosts)
}

// sourcesOf are the files of an inventory folder and of those below it in
// Ansible's order, or the file itself.
func sourcesOf(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the inventory: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var files []string
	// WalkDir goes by name, as Ansible does, and follows no link to a folder.
	err = filepath.WalkDir(path, func(file string, e fs.DirEntry, err error) error {
		name := e.Name()
		switch {
		case err != nil:
			return err
		case file == path:
			return nil
		case e.IsDir() && (name == "group_vars" || name == "host_vars" || strings.HasPrefix(name, ".")):
			return fs.SkipDir
		case e.IsDir() || strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~"):
			return nil
		}
		switch filepath.Ext(name) {
		case ".orig", ".cfg", ".retry", ".pyc", ".pyo", ".md", ".rst", ".txt", ".bak":
			return nil
		}
		files = append(files, file)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the inventory: %w", err)
	}
	return files, nil
}

func readText(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if info.Size() > maxFile {
		return "", fmt.Errorf("%s is larger than %d MiB", path, maxFile>>20)
	}
	text, err := os.ReadFile(path)
	return strings.ToValidUTF8(string(text), "\uFFFD"), err
}

func (t *tree) read(file string) error {
	text, err := readText(file)
	if err != nil {
		return fmt.Errorf("cannot read the inventory: %w", err)
	}
	switch {
	case strings.HasPrefix(text, "#!"):
		t.inv.note(Place{file, 1}, "a program is not run; save what it prints: ansible-inventory -i %s --list >inventory.json, and import that", file)
	case strings.HasPrefix(text, "$ANSIBLE_VAULT"):
		t.inv.note(Place{file, 1}, "the file is encrypted; decrypt it first: ansible-vault view %s", file)
	case pluginOf(text) != "":
		t.inv.note(Place{file, 1}, "an inventory plugin (%s) is not run; save what it finds: ansible-inventory -i %s --list >inventory.json, and import that", pluginOf(text), file)
	case looksLikeYAML(text):
		if err := t.yaml(file, text); err != nil {
			return fmt.Errorf("cannot read %s: %w", file, err)
		}
	default:
		t.ini(file, text)
	}
	return nil
}

// pluginOf is the plugin that a YAML file configures, "" when it is no such file.
func pluginOf(text string) string {
	if !strings.Contains(text, "plugin:") {
		return ""
	}
	root, err := document(text)
	if err != nil || root == nil {
		return ""
	}
	if p := child(root, "plugin"); p != nil {
		return p.Value
	}
	return ""
}

// beside reads group_vars and host_vars.
func (t *tree) beside(dir string) error {
	for _, kind := range []struct {
		folder string
		nodes  map[string]*node
	}{{"group_vars", t.groups}, {"host_vars", t.hosts}} {
		entries, err := os.ReadDir(filepath.Join(dir, kind.folder))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot read %s: %w", kind.folder, err)
		}
		for _, e := range entries {
			path := filepath.Join(dir, kind.folder, e.Name())
			name := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(e.Name(), ".yml"), ".yaml"), ".json")
			n := kind.nodes[name]
			switch {
			case strings.HasPrefix(name, "."):
				continue
			case n == nil && name == "all":
				n = t.group("all", Place{path, 0})
			case n == nil:
				t.inv.note(Place{path, 0}, "the inventory has no %s %s", strings.TrimSuffix(kind.folder, "_vars"), name)
				continue
			}
			if err := t.varFiles(n, path); err != nil {
				return err
			}
		}
	}
	return nil
}

// besidePlaybooks names the variables that Ansible reads with a playbook only,
// and so not with the inventory alone.
func (t *tree) besidePlaybooks(dir string) {
	for _, kind := range []string{"group_vars", "host_vars"} {
		above := filepath.Join(dir, "..", kind)
		if info, err := os.Stat(above); err == nil && info.IsDir() {
			t.inv.note(Place{above, 0}, "variables beside the playbooks are not read; if they say how hosts are reached, import what this prints: ansible-inventory --playbook-dir %s -i %s --list", filepath.Join(dir, ".."), dir)
		}
	}
}

// varFiles reads a file of variables, or all files of a folder.
func (t *tree) varFiles(n *node, path string) error {
	return filepath.WalkDir(path, func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("cannot read variables: %w", err)
		}
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			return nil
		}
		text, err := readText(file)
		if err != nil {
			t.inv.note(Place{file, 0}, "it cannot be read: %v", err)
			return nil
		}
		if strings.HasPrefix(text, "$ANSIBLE_VAULT") {
			t.inv.note(Place{file, 1}, "the file is encrypted and not read")
			return nil
		}
		root, err := document(text)
		if err != nil {
			t.inv.note(Place{file, 0}, "it is not understood: %v", err)
			return nil
		}
		t.yamlVars(n.beside, file, root)
		return nil
	})
}
