// SPDX-License-Identifier: Apache-2.0

package settings

import "strings"

// code are the fields that say how the source gets into containers.
func code() []field {
	return []field{
		{Field{
			Name: "allow_including_files_in_images", Type: "boolean", Default: "true", Example: "true",
			Doc: "Put the source into the image, where containers download it from nowhere; with `false`, what runs it has to bring it.",
		}, "", unless(func(d *Docker) *bool { return &d.NoSource })},
		{Field{
			Name: "allow_download_from_code_repository", Type: "boolean", Default: "true", Example: "true",
			Doc: "Let containers download the source from the stack's code repository, where the checkout is clean and pushed, in place of having it.",
		}, "", unless(func(d *Docker) *bool { return &d.NoRepository })},
		{Field{
			Name: "allow_download_from_artifact_store", Type: "boolean", Default: "true", Example: "true",
			Doc: "Upload the source to the stack's artifact store, for containers to download, in place of having it.",
		}, "", unless(func(d *Docker) *bool { return &d.NoStore })},
	}
}

// migrated is never called: migrate has taken the field away before. What is
// left of it would be of a wrong type.
func migrated(_ *loader, s setting) error { return s.wrongType() }

const allowPrefix = "allow_"

// allows says what each value of the deprecated source_files means today.
var allows = map[string]map[string]string{
	"download":            {"code_repository": "true", "including": "false"},
	"include":             {"code_repository": "false", "including": "true"},
	"download_or_include": {"code_repository": "true", "including": "true"},
	"ignore":              {"code_repository": "false", "including": "false"},
}

// migrate replaces the deprecated source_files of one level of settings by the
// fields that came in its place, as ZenML does before it looks at them; it
// always turned the artifact store off. Beside one of these fields it is
// ignored.
func (v *value) migrate() (warnings []Warning, err error) {
	if v == nil || v.kind != mapping {
		return nil, nil
	}
	i := v.index("source_files")
	if i < 0 || v.items[i].kind == null {
		return nil, nil
	}
	s := setting{value: v.items[i], field: byName()[dockerPath+".source_files"], path: dockerPath + ".source_files"}
	t, err := s.scalar(s.field.Type)
	if err != nil {
		return nil, err
	}
	allowed, ok := allows[t]
	if !ok {
		return nil, s.errorf("want download, include, download_or_include or ignore, got %s", s.shown())
	}
	w := Warning{File: s.file, Line: s.line, Field: s.pathOf(s.path)}
	v.keys, v.items = append(v.keys[:i:i], v.keys[i+1:]...), append(v.items[:i:i], v.items[i+1:]...)
	for _, key := range v.keys {
		if strings.HasPrefix(key.text, allowPrefix) {
			w.Text = "ignored: it is deprecated, and " + key.text + " is given"
			return []Warning{w}, nil
		}
	}
	for _, f := range []struct{ name, value string }{
		{"allow_including_files_in_images", allowed["including"]},
		{"allow_download_from_code_repository", allowed["code_repository"]},
		{"allow_download_from_artifact_store", "false"},
	} {
		one := func(text, tag string) *value {
			return &value{position: s.position, kind: scalar, text: text, raw: text, tag: tag}
		}
		v.add(one(f.name, "!!str"), one(f.value, "!!bool"))
	}
	w.Text = "deprecated: write allow_including_files_in_images, allow_download_from_code_repository and allow_download_from_artifact_store"
	return []Warning{w}, nil
}
