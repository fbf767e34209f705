package inventory

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// node is a JSON schema (draft 2020-12), as far as it is used here.
type node struct {
	Schema      string           `json:"$schema,omitempty"`
	Title       string           `json:"title,omitempty"`
	Description string           `json:"description,omitempty"`
	Ref         string           `json:"$ref,omitempty"`
	Type        any              `json:"type,omitempty"` // a name or a list of names
	Enum        []string         `json:"enum,omitempty"`
	Pattern     string           `json:"pattern,omitempty"`
	MaxLength   int              `json:"maxLength,omitempty"`
	Minimum     *int             `json:"minimum,omitempty"`
	Maximum     *int             `json:"maximum,omitempty"`
	Items       *node            `json:"items,omitempty"`
	AnyOf       []*node          `json:"anyOf,omitempty"`
	OneOf       []*node          `json:"oneOf,omitempty"`
	Properties  map[string]*node `json:"properties,omitempty"`
	Names       *node            `json:"propertyNames,omitempty"`
	Required    []string         `json:"required,omitempty"`
	Additional  any              `json:"additionalProperties,omitempty"` // false or a *node
	Defs        map[string]*node `json:"$defs,omitempty"`
}

// none forbids properties that are not named.
const none = falseSchema("false")

// falseSchema is written as the JSON value false, which omitempty would drop.
type falseSchema string

// MarshalJSON implements json.Marshaler.
func (f falseSchema) MarshalJSON() ([]byte, error) { return []byte(f), nil }

// WriteSchema writes the JSON schema of *.hcl.json files. Blocks and their
// attributes are those that Load knows; it refuses nothing that Load accepts,
// and leaves to Load what a schema cannot say.
func WriteSchema(w io.Writer) error {
	root := schemaBody("", rootShape)
	doc := &node{Schema: "https://json-schema.org/draft/2020-12/schema", Title: "ncfleet inventory",
		Description: "The JSON form of an ncfleet inventory (*.hcl.json). Expressions stand in \"${…}\".",
		AnyOf:       []*node{root, {Type: "array", Items: root}}, Defs: schemaKinds()}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("cannot write the schema: %w", err)
	}
	return nil
}

// blockShapes are the shapes of blocks by type. Bodies of driver and locals
// blocks are open.
var blockShapes = map[string]shape{
	"variable": varShape, "ssh": sshShape, "bastion": bastionShape, "host": hostShape, "nextcloud": ncShape, "group": groupShape, "rollout": rolloutShape,
	"system": systemShape, "core": coreShape, "apps": appsShape, "wave": waveShape, "spread": spreadShape,
	"failures": failShape, "window": windowShape, "blackout": blackShape, "gate": gateShape, "notify": notifyShape,
}

// schemaBody is the schema of a block's body.
func schemaBody(block string, sh shape) *node {
	n := &node{Type: "object", Properties: map[string]*node{"//": {Description: "A comment."}}, Additional: none, Required: schemaRequired[block]}
	for _, a := range sh.schema.Attributes {
		n.Properties[a.Name] = schemaAttribute(block, a.Name)
	}
	for _, b := range sh.schema.Blocks {
		n.Properties[b.Type] = schemaBlock(b.Type, len(b.LabelNames))
	}
	if block == "wave" {
		for _, way := range []string{"hosts", "count", "percent", "rest"} {
			n.OneOf = append(n.OneOf, &node{Required: []string{way}})
		}
	}
	return n
}

// schemaBlock is the schema of all blocks of one type in a body: their labels
// are the names of nested objects.
func schemaBlock(block string, labels int) *node {
	switch block {
	case "driver":
		open := severalOf(&node{Type: "object"})
		return kindsOf(driverKinds, func(string) *node { return severalOf(labelled(open)) })
	case "notify":
		return kindsOf(sortedKeys(notifyKinds), func(kind string) *node { return severalOf(labelled(severalOf(schemaNotify(kind)))) })
	case "locals":
		return severalOf(&node{Type: "object"})
	}
	sh, known := blockShapes[block]
	out := severalOf(&node{Type: "object"})
	if known {
		out = severalOf(schemaBody(block, sh))
	}
	for range labels {
		out = severalOf(labelled(out))
	}
	return out
}

// severalOf takes a body, a list of bodies, or null for no block.
func severalOf(n *node) *node {
	return &node{AnyOf: []*node{n, {Type: "array", Items: n}, {Type: "null"}}}
}

func labelled(inner *node) *node {
	return &node{Type: "object", Names: &node{MaxLength: maxName, Pattern: namePattern.String()}, Additional: inner}
}

// kindsOf is the schema of blocks whose first label is one of a list.
func kindsOf(kinds []string, inner func(string) *node) *node {
	n := &node{Type: "object", Properties: map[string]*node{}, Additional: none}
	for _, k := range kinds {
		n.Properties[k] = inner(k)
	}
	return severalOf(n)
}

func schemaNotify(kind string) *node {
	n := &node{Type: "object", Properties: map[string]*node{"//": {Description: "A comment."}, "on": schemaAttribute("notify", "on")}, Additional: none}
	needs := strings.Fields(notifyKinds[kind].needs)
	for _, name := range slices.Concat(needs, strings.Fields(notifyKinds[kind].may)) {
		n.Properties[name] = schemaAttribute("notify", name)
	}
	n.Required = needs
	return n
}

// schemaAttribute takes a value of the attribute's kind, an expression, or null
// for an attribute that is not given.
func schemaAttribute(block, name string) *node {
	a, ok := schemaAttributes[block+"."+name]
	if !ok {
		return &node{} // anything: Load says what it takes
	}
	n := &node{Description: a.help}
	switch {
	case len(a.words) > 0 && a.kind == "words":
		word := &node{AnyOf: []*node{{Enum: a.words}, ref("expression")}}
		n.AnyOf = []*node{{Enum: a.words}, {Type: "array", Items: word}}
	case len(a.words) > 0:
		n.AnyOf = []*node{{Enum: a.words}}
	case a.kind == "any":
		return n
	default:
		n.AnyOf = []*node{ref(a.kind)}
	}
	if a.kind != "selection" && a.kind != "secret" {
		n.AnyOf = append(n.AnyOf, ref("expression"))
	}
	n.AnyOf = append(n.AnyOf, &node{Type: "null"})
	return n
}

func ref(kind string) *node { return &node{Ref: "#/$defs/" + kind} }

// schemaKinds are the kinds of values. Numbers may be written as texts, and
// texts as numbers or true and false, as Load takes them.
func schemaKinds() map[string]*node {
	zero := 0
	expression := &node{Description: "An expression in \"${…}\".", Type: "string", Pattern: `[$%]\{`}
	text := &node{Type: []string{"string", "number", "boolean"}}
	return map[string]*node{
		"expression": expression,
		"text":       text,
		"bool":       {AnyOf: []*node{{Type: "boolean"}, {Enum: []string{"true", "false"}}}},
		"number":     {AnyOf: []*node{{Type: "integer", Minimum: &zero}, {Type: "string", Pattern: `^[0-9]+$`}}},
		"percent":    {AnyOf: []*node{{Type: "number", Minimum: &zero}, {Type: "string", Pattern: `^[0-9.]+ *%?$`}}},
		"amount":     {Description: "A whole number or a percentage.", AnyOf: []*node{{Type: "integer", Minimum: &zero}, {Type: "string", Pattern: `^([0-9]+|[0-9.]+ *%)$`}}},
		"list":       {AnyOf: []*node{text, {Type: "array", Items: text}}},
		"duration":   {Description: "\"90s\", \"15m\", \"1h30m\".", Type: "string", Pattern: `^(0|[+-]?([0-9.]+(ns|us|µs|μs|ms|s|m|h))+)$`},
		"secret":     {Description: "A reference: \"${secret(\\\"env:NAME\\\")}\".", Type: "string", Pattern: `[$%]\{`},
		"selection": {Description: "An expression over host in \"${…}\", true, or a list of host names.",
			AnyOf: []*node{{Type: "boolean"}, {Type: "array", Items: text}, expression}},
		"map": {Type: "object"},
	}
}
