// Verifies .tlog-proof files with code of two other projects: each with transparency-dev/formats and merkle, and again with
// filippo.io/torchwood, which reads the format by itself.
//
//	proof <file with the log's vkey> <policy> <entry> <its .tlog-proof> [<entry> <proof> ...]
//
// With a policy of `-` nobody else has to have signed. Otherwise its quorum has to have cosigned, as tessera and torchwood
// read it; torchwood asks for the signature of every log that a policy names, where C2SP says any, so it is shown the policy
// without the other logs. Says `ok: <n> proofs`, or FAILED and why, with exit code 1.
package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"

	"filippo.io/torchwood"
	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	vkey := strings.TrimSpace(string(read(os.Args[1])))
	verifier, err := note.NewVerifier(vkey)
	check(err, "vkey")
	lines := []string{"log " + vkey}
	if os.Args[2] == "-" {
		lines = append(lines, "quorum none")
	} else {
		for _, line := range strings.Split(string(read(os.Args[2])), "\n") {
			if !strings.HasPrefix(line, "log ") {
				lines = append(lines, line)
			}
		}
	}
	policy := []byte(strings.Join(lines, "\n"))
	ofTorchwood, err := torchwood.ParsePolicy(policy)
	check(err, "policy, for torchwood")
	ofTessera, err := tessera.NewWitnessGroupFromPolicy(policy)
	check(err, "policy, for tessera")

	files := os.Args[3:]
	for ; len(files) >= 2; files = files[2:] {
		entry, text := read(files[0]), read(files[1])
		index, hashes, signed := cut(string(text), files[1])
		checkpoint, _, _, err := log.ParseCheckpoint([]byte(signed), verifier.Name(), verifier)
		check(err, "%s: checkpoint", files[1])
		leaf := rfc6962.DefaultHasher.HashLeaf(entry)
		err = proof.VerifyInclusion(rfc6962.DefaultHasher, index, checkpoint.Size, leaf, hashes, checkpoint.Hash)
		check(err, "%s: merkle", files[1])
		if !ofTessera.Satisfied([]byte(signed)) {
			check(fmt.Errorf("the quorum is not met"), "%s: tessera", files[1])
		}
		check(torchwood.VerifyProof(ofTorchwood, tlog.RecordHash(entry), text), "%s: torchwood", files[1])
	}
	fmt.Printf("ok: %d proofs\n", (len(os.Args)-3)/2)
}

// cut takes a .tlog-proof apart (C2SP tlog-proof), of which neither formats nor merkle has a reader.
func cut(text, name string) (index uint64, hashes [][]byte, checkpoint string) {
	head, checkpoint, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	if len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" {
		check(fmt.Errorf("not a proof"), "%s", name)
	}
	index, err := strconv.ParseUint(strings.TrimPrefix(lines[1], "index "), 10, 64)
	check(err, "%s: index", name)
	for _, line := range lines[2:] {
		hash, err := base64.StdEncoding.DecodeString(line)
		check(err, "%s: hash", name)
		hashes = append(hashes, hash)
	}
	return index, hashes, checkpoint
}

func read(file string) []byte {
	bytes, err := os.ReadFile(file)
	check(err, "file")
	return bytes
}

func check(err error, format string, args ...any) {
	if err != nil {
		fmt.Printf("FAILED: "+format+": %v\n", append(args, err)...)
		os.Exit(1)
	}
}
