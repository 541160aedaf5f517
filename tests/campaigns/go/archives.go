package main

import (
	"archive/tar"
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"io"
	"os"
	"strings"
)

// An entry of a listing. Names are in hexadecimal, because they need not be text.
type entry struct {
	Name   string `json:"name"`
	Link   string `json:"link"`
	Type   string `json:"type"`
	Size   int64  `json:"size"`
	Sha256 string `json:"sha256"`
}

// A listing, and why it ends early.
type listing struct {
	Entries []entry `json:"entries"`
	Error   *string `json:"error"`
}

// Each line is a path. The answer is a line of JSON.
func archives(in *bufio.Reader, out *bufio.Writer) error {
	encoder := json.NewEncoder(out)
	for {
		line, err := in.ReadString('\n')
		if err == io.EOF && line == "" {
			return nil
		} else if err != nil && err != io.EOF {
			return err
		}
		found := listing{Entries: []entry{}}
		if err := found.read(strings.TrimSuffix(line, "\n")); err != nil {
			text := err.Error()
			found.Error = &text
		}
		if err := encoder.Encode(found); err != nil {
			return err
		}
	}
}

func (l *listing) read(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	// A reader without Seek, as engines use it.
	reader := tar.NewReader(bufio.NewReader(file))
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if header.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		digest := sha256.New()
		size, err := io.Copy(digest, reader)
		if err != nil {
			return err
		}
		l.Entries = append(l.Entries, entry{
			Name:   hexText(header.Name),
			Link:   hexText(header.Linkname),
			Type:   typeName(header.Typeflag),
			Size:   size,
			Sha256: hexText(string(digest.Sum(nil))),
		})
	}
}

func typeName(flag byte) string {
	switch flag {
	case tar.TypeReg, tar.TypeRegA:
		return "file"
	case tar.TypeDir:
		return "directory"
	case tar.TypeSymlink:
		return "symlink"
	case tar.TypeLink:
		return "hardlink"
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return "special"
	}
	return "other"
}

func hexText(text string) string {
	const digits = "0123456789abcdef"
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		out.WriteByte(digits[text[i]>>4])
		out.WriteByte(digits[text[i]&15])
	}
	return out.String()
}
