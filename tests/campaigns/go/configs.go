package main

import (
	"encoding/json"
	"time"
)

// The JSON shape of an image config in the image specification.
type imageConfig struct {
	Created *time.Time `json:"created"`
	Author  string     `json:"author"`
	platform
	Config  containerConfig `json:"config"`
	RootFS  rootFS          `json:"rootfs"`
	History []history       `json:"history"`
}

type containerConfig struct {
	User         string              `json:"User"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts"`
	Env          []string            `json:"Env"`
	Entrypoint   []string            `json:"Entrypoint"`
	Cmd          []string            `json:"Cmd"`
	Volumes      map[string]struct{} `json:"Volumes"`
	WorkingDir   string              `json:"WorkingDir"`
	Labels       map[string]string   `json:"Labels"`
	StopSignal   string              `json:"StopSignal"`
	ArgsEscaped  bool                `json:"ArgsEscaped"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

type history struct {
	Created    *time.Time `json:"created"`
	CreatedBy  string     `json:"created_by"`
	Author     string     `json:"author"`
	Comment    string     `json:"comment"`
	EmptyLayer bool       `json:"empty_layer"`
}

// The JSON shape of docker's own type for an image config.
type dockerImage struct {
	ID              string           `json:"id"`
	Parent          string           `json:"parent"`
	Comment         string           `json:"comment"`
	Created         *time.Time       `json:"created"`
	Container       string           `json:"container"`
	ContainerConfig dockerContainer  `json:"container_config"`
	DockerVersion   string           `json:"docker_version"`
	Author          string           `json:"author"`
	Config          *dockerContainer `json:"config"`
	Architecture    string           `json:"architecture"`
	Variant         string           `json:"variant"`
	OS              string           `json:"os"`
	Size            int64            `json:"size"`
	RootFS          *rootFS          `json:"rootfs"`
	History         []history        `json:"history"`
	OSVersion       string           `json:"os.version"`
	OSFeatures      []string         `json:"os.features"`
}

type dockerContainer struct {
	Hostname        string
	Domainname      string
	User            string
	AttachStdin     bool
	AttachStdout    bool
	AttachStderr    bool
	ExposedPorts    map[string]struct{}
	Tty             bool
	OpenStdin       bool
	StdinOnce       bool
	Env             []string
	Cmd             words
	Healthcheck     *healthcheck
	ArgsEscaped     bool
	Image           string
	Volumes         map[string]struct{}
	WorkingDir      string
	Entrypoint      words
	NetworkDisabled bool
	MacAddress      string
	OnBuild         []string
	Labels          map[string]string
	StopSignal      string
	StopTimeout     *int
	Shell           words
}

type healthcheck struct {
	Test          []string
	Interval      time.Duration
	Timeout       time.Duration
	StartPeriod   time.Duration
	StartInterval time.Duration
	Retries       int
}

// A list of strings that docker also accepts as one string.
type words []string

func (w *words) UnmarshalJSON(text []byte) error {
	var list []string
	err := json.Unmarshal(text, &list)
	if err != nil {
		var word string
		if json.Unmarshal(text, &word) != nil {
			return err
		}
		list = []string{word}
	}
	*w = list
	return nil
}

// The JSON shapes of an item of manifest.json.

type archiveItem struct {
	Config   string
	RepoTags []string
	Layers   []string
}

type dockerArchiveItem struct {
	archiveItem
	Parent       string
	LayerSources map[string]descriptor
}
