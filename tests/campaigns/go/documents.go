package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// Each document is a line with its kind and its length in bytes, followed by its bytes. The answer is a line: "ok", or the decoder that
// refuses the document and why.
func documents(in *bufio.Reader, out *bufio.Writer) error {
	for {
		var kind string
		var length int
		if _, err := fmt.Fscanf(in, "%s %d\n", &kind, &length); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		text := make([]byte, length)
		if _, err := io.ReadFull(in, text); err != nil {
			return err
		}
		decoders, found := kinds[kind]
		if !found {
			return fmt.Errorf("unknown kind %q", kind)
		}
		verdict := "ok"
		for _, decoder := range decoders {
			if err := decoder.decode(text); err != nil {
				verdict = fmt.Sprintf("%s: %q", decoder.name, err)
				break
			}
		}
		if _, err := fmt.Fprintln(out, verdict); err != nil {
			return err
		}
	}
}

type decoder struct {
	name   string
	decode func([]byte) error
}

// into decodes into a new value of a type, as json.Unmarshal does.
func into[T any](text []byte) error {
	var value T
	return json.Unmarshal(text, &value)
}

var kinds = map[string][]decoder{
	"index":    {{"containerd's check", requireShape("manifests")}, {"containerd", into[index]}},
	"manifest": {{"containerd's check", requireShape("layers")}, {"containerd", into[manifest]}},
	"config":   {{"containerd", into[imageConfig]}, {"docker", into[dockerImage]}},
	"docker-archive": {
		{"containerd", into[[]archiveItem]},
		{"docker", into[[]dockerArchiveItem]},
	},
	"layout": {{"containerd", into[imageLayout]}},
}

// requireShape refuses a document that could be read as another kind, as containerd does before it decodes one (CVE-2021-41190).
func requireShape(list string) func([]byte) error {
	return func(text []byte) error {
		var found struct {
			MediaType string          `json:"mediaType"`
			Config    json.RawMessage `json:"config"`
			Layers    json.RawMessage `json:"layers"`
			Manifests json.RawMessage `json:"manifests"`
			FSLayers  json.RawMessage `json:"fsLayers"`
		}
		if err := json.Unmarshal(text, &found); err != nil {
			return err
		}
		isIndex := len(found.Manifests) != 0
		isManifest := len(found.Config) != 0 || len(found.Layers) != 0
		if len(found.FSLayers) != 0 || isIndex && list != "manifests" || isManifest && list != "layers" {
			return fmt.Errorf("the document has another shape")
		}
		return nil
	}
}

// The JSON shapes of the types of the image specification, version 1.1.

type versioned struct {
	SchemaVersion int `json:"schemaVersion"`
}

type index struct {
	versioned
	MediaType    string            `json:"mediaType"`
	ArtifactType string            `json:"artifactType"`
	Manifests    []descriptor      `json:"manifests"`
	Subject      *descriptor       `json:"subject"`
	Annotations  map[string]string `json:"annotations"`
}

type manifest struct {
	versioned
	MediaType    string            `json:"mediaType"`
	ArtifactType string            `json:"artifactType"`
	Config       descriptor        `json:"config"`
	Layers       []descriptor      `json:"layers"`
	Subject      *descriptor       `json:"subject"`
	Annotations  map[string]string `json:"annotations"`
}

type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	URLs         []string          `json:"urls"`
	Annotations  map[string]string `json:"annotations"`
	Data         []byte            `json:"data"`
	Platform     *platform         `json:"platform"`
	ArtifactType string            `json:"artifactType"`
}

type platform struct {
	Architecture string   `json:"architecture"`
	OS           string   `json:"os"`
	OSVersion    string   `json:"os.version"`
	OSFeatures   []string `json:"os.features"`
	Variant      string   `json:"variant"`
}

type imageLayout struct {
	Version string `json:"imageLayoutVersion"`
}
