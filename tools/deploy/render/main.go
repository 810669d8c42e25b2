// Renders the chart as "helm template" does: the same engine, the same functions, the same treatment of values.
// Built with Debian's packages alone: golang-go and golang-github-masterminds-sprig-dev.
//
// usage: render [-name NAME] [-namespace NAMESPACE] [-values FILE]... CHART
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"gopkg.in/yaml.v2"
)

type files struct{ root string }

// Get returns a file of the chart, or "" as helm does.
func (f files) Get(name string) string {
	text, err := os.ReadFile(filepath.Join(f.root, name))
	if err != nil {
		return ""
	}
	return string(text)
}

// Numbers stay as they were written, as in helm, which reads YAML by way of JSON.
func jsonOf(value interface{}) ([]byte, error) { return json.Marshal(plain(value)) }

func plain(value interface{}) interface{} {
	switch v := value.(type) {
	case map[interface{}]interface{}:
		out := map[string]interface{}{}
		for key, item := range v {
			out[fmt.Sprint(key)] = plain(item)
		}
		return out
	case []interface{}:
		out := make([]interface{}, len(v))
		for i, item := range v {
			out[i] = plain(item)
		}
		return out
	}
	return value
}

func read(path string) (map[string]interface{}, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var raw interface{}
	if err := yaml.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	out := map[string]interface{}{}
	if raw == nil {
		return out, nil
	}
	asJSON, err := jsonOf(raw)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	decoder := json.NewDecoder(bytes.NewReader(asJSON))
	decoder.UseNumber()
	return out, decoder.Decode(&out)
}

// Tables are merged, other values replaced, null removes a key.
func merge(into, from map[string]interface{}) {
	for key, value := range from {
		table, isTable := value.(map[string]interface{})
		old, wasTable := into[key].(map[string]interface{})
		switch {
		case value == nil:
			delete(into, key)
		case isTable && wasTable:
			merge(old, table)
		default:
			into[key] = value
		}
	}
}

func toYaml(value interface{}) string {
	asJSON, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	var again interface{}
	if yaml.Unmarshal(asJSON, &again) != nil {
		return ""
	}
	text, err := yaml.Marshal(again)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(text), "\n")
}

func functions(root *template.Template) template.FuncMap {
	all := sprig.TxtFuncMap()
	delete(all, "env")
	delete(all, "expandenv")
	all["toYaml"] = toYaml
	all["include"] = func(name string, data interface{}) (string, error) {
		var out strings.Builder
		err := root.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
	all["required"] = func(message string, value interface{}) (interface{}, error) {
		if value == nil || value == "" {
			return nil, errors.New(message)
		}
		return value, nil
	}
	all["fail"] = func(message string) (string, error) { return "", errors.New(message) }
	return all
}

type paths []string

func (p *paths) String() string         { return strings.Join(*p, ",") }
func (p *paths) Set(value string) error { *p = append(*p, value); return nil }

func render() error {
	var overrides paths
	name := flag.String("name", "sluice", "of the release")
	namespace := flag.String("namespace", "kube-system", "of the release")
	flag.Var(&overrides, "values", "a file of values; may be given again")
	flag.Parse()
	chart := flag.Arg(0)
	if chart == "" {
		return errors.New("usage: render [-name NAME] [-namespace NAMESPACE] [-values FILE]... CHART")
	}
	about, err := read(filepath.Join(chart, "Chart.yaml"))
	if err != nil {
		return err
	}
	values, err := read(filepath.Join(chart, "values.yaml"))
	if err != nil {
		return err
	}
	for _, file := range overrides {
		more, err := read(file)
		if err != nil {
			return err
		}
		merge(values, more)
	}
	titled := map[string]interface{}{}
	for key, value := range about {
		titled[strings.ToUpper(key[:1])+key[1:]] = value
	}
	data := map[string]interface{}{
		"Values":  values,
		"Chart":   titled,
		"Release": map[string]interface{}{"Name": *name, "Namespace": *namespace, "Service": "Helm", "IsInstall": true},
		"Files":   files{chart},
	}
	sources, err := filepath.Glob(filepath.Join(chart, "templates", "*"))
	if err != nil {
		return err
	}
	sort.Strings(sources)
	root := template.New("gotpl").Option("missingkey=zero")
	root.Funcs(functions(root))
	for _, source := range sources {
		text, err := os.ReadFile(source)
		if err != nil {
			return err
		}
		if _, err := root.New(filepath.Base(source)).Parse(string(text)); err != nil {
			return err
		}
	}
	for _, source := range sources {
		base := filepath.Base(source)
		if strings.HasPrefix(base, "_") || !strings.HasSuffix(base, ".yaml") {
			continue
		}
		var out strings.Builder
		if err := root.ExecuteTemplate(&out, base, data); err != nil {
			return err
		}
		text := strings.TrimSpace(strings.ReplaceAll(out.String(), "<no value>", ""))
		if text != "" {
			fmt.Printf("---\n# Source: sluice/templates/%s\n%s\n", base, text)
		}
	}
	return nil
}

func main() {
	if err := render(); err != nil {
		fmt.Fprintf(os.Stderr, "render the chart: %v\n", err)
		os.Exit(1)
	}
}
