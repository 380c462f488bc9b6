// Proofcheck verifies a tlog-proof with the Go checksum database's own libraries, and the
// cosignatures on its checkpoint with transparency-dev's.
//
// Usage: proofcheck LOG_KEY PROOF ENTRY [WITNESS_KEY...]
package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"

	formats "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	if err := check(os.Args[1], os.Args[2], os.Args[3], os.Args[4:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(key, proofFile, entryFile string, witnesses []string) error {
	proof, err := os.ReadFile(proofFile)
	if err != nil {
		return err
	}
	entry, err := os.ReadFile(entryFile)
	if err != nil {
		return err
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return err
	}
	verifiers := []note.Verifier{verifier}
	for _, witness := range witnesses {
		cosigner, err := formats.NewVerifierForCosignatureV1(witness)
		if err != nil {
			return err
		}
		verifiers = append(verifiers, cosigner)
	}
	head, checkpoint, _ := strings.Cut(string(proof), "\n\n")
	opened, err := note.Open([]byte(checkpoint), note.VerifierList(verifiers...))
	if err != nil {
		return err
	}
	if len(opened.Sigs) != len(verifiers) {
		return fmt.Errorf("%d of %d keys signed", len(opened.Sigs), len(verifiers))
	}
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return err
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return err
	}
	lines = strings.Split(head, "\n")
	if lines[0] != "c2sp.org/tlog-proof@v1" {
		return fmt.Errorf("not a proof")
	}
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
	if err != nil {
		return err
	}
	var path tlog.RecordProof
	for _, line := range lines[2:] {
		hash, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(hash) != tlog.HashSize {
			return fmt.Errorf("not a hash: %q", line)
		}
		path = append(path, tlog.Hash(hash))
	}
	if err := tlog.CheckRecord(path, size, root, index, tlog.RecordHash(entry)); err != nil {
		return err
	}
	fmt.Printf("%d %d\n", index, size)
	return nil
}
