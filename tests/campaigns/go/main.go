// Command readers says how Go's readers, which container engines use, read documents and tar archives.
//
//	readers documents   documents on standard input, a verdict for each
//	readers archives    paths of archives on standard input, a listing of each
package main

import (
	"bufio"
	"fmt"
	"os"
)

func main() {
	commands := map[string]func(*bufio.Reader, *bufio.Writer) error{
		"documents": documents,
		"archives":  archives,
	}
	var run func(*bufio.Reader, *bufio.Writer) error
	if len(os.Args) == 2 {
		run = commands[os.Args[1]]
	}
	if run == nil {
		fmt.Fprintln(os.Stderr, "usage: readers documents|archives")
		os.Exit(2)
	}
	out := bufio.NewWriter(os.Stdout)
	err := run(bufio.NewReader(os.Stdin), out)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "readers:", err)
		os.Exit(1)
	}
}
