// Verifies a Writ log with code that is not Writ's: golang.org/x/mod, as Debian packages it. What is written here is glue:
// reading files, cutting bundles into entries, and the path of a tile, which differs from x/mod's by one folder.
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go build -o verify .
//	./verify <log folder> <vkey> [<folder of checkpoints seen earlier>]
//	./verify -root <log folder> <vkey>
//
// Checks the checkpoint's signature, every entry's inclusion by its own proof, and that each earlier checkpoint is signed
// and continued by the newest. With -root it makes the root anew from the entries instead, which is what a verifier of a
// whole log does. Exits with 1 and names the first bad entry or checkpoint.
package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

func main() {
	if len(os.Args) == 4 && os.Args[1] == "-root" {
		verifier, err := note.NewVerifier(os.Args[3])
		check(err, "vkey")
		makeRoot(os.Args[2], open(filepath.Join(os.Args[2], "checkpoint"), verifier))
		return
	}
	if len(os.Args) < 3 {
		fail("usage: verify <log folder> <vkey> [<folder of earlier checkpoints>]")
	}
	dir := os.Args[1]
	verifier, err := note.NewVerifier(os.Args[2])
	check(err, "vkey")
	newest := open(filepath.Join(dir, "checkpoint"), verifier)
	hashes := tlog.TileHashReader(newest, &files{dir, map[string][]byte{}})

	for bundle := int64(0); bundle*256 < newest.N; bundle++ {
		width := newest.N - bundle*256
		if width > 256 {
			width = 256
		}
		eachEntry(dir, bundle, int(width), func(index int64, entry []byte) {
			proof, err := tlog.ProveRecord(newest.N, index, hashes)
			check(err, "proof of entry %d", index)
			check(tlog.CheckRecord(proof, newest.N, newest.Hash, index, tlog.RecordHash(entry)), "entry %d", index)
		})
	}

	seen := 0
	if len(os.Args) > 3 {
		names, err := filepath.Glob(filepath.Join(os.Args[3], "*"))
		check(err, "earlier checkpoints")
		sort.Strings(names)
		for _, name := range names {
			earlier := open(name, verifier)
			seen++
			if earlier.N == 0 {
				continue
			}
			if earlier.N > newest.N {
				fail("checkpoint %s has %d entries, the log has %d: its end was cut", filepath.Base(name), earlier.N, newest.N)
			}
			proof, err := tlog.ProveTree(newest.N, earlier.N, hashes)
			check(err, "consistency with checkpoint %s of %d entries", filepath.Base(name), earlier.N)
			check(tlog.CheckTree(proof, newest.N, newest.Hash, earlier.N, earlier.Hash), "consistency with checkpoint %s of %d entries", filepath.Base(name), earlier.N)
		}
	}
	fmt.Printf("ok: %d entries, %d earlier checkpoints, root %s\n", newest.N, seen, newest.Hash)
}

// makeRoot hashes every entry into a tree of its own and compares its root with the signed one.
func makeRoot(dir string, newest tlog.Tree) {
	var stored memory
	if newest.N == 0 {
		// Its root was compared when it was opened.
		fmt.Printf("ok: 0 entries, root %s\n", newest.Hash)
		return
	}
	for bundle := int64(0); bundle*256 < newest.N; bundle++ {
		width := newest.N - bundle*256
		if width > 256 {
			width = 256
		}
		eachEntry(dir, bundle, int(width), func(index int64, entry []byte) {
			more, err := tlog.StoredHashes(index, entry, &stored)
			check(err, "entry %d", index)
			stored = append(stored, more...)
		})
	}
	root, err := tlog.TreeHash(newest.N, &stored)
	check(err, "root")
	if root != newest.Hash {
		fail("the root of %d entries is %s, signed is %s", newest.N, root, newest.Hash)
	}
	fmt.Printf("ok: %d entries, root %s\n", newest.N, newest.Hash)
}

// memory holds the hashes of a tree where x/mod's indexes say.
type memory []tlog.Hash

func (m *memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	all := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		all[i] = (*m)[index]
	}
	return all, nil
}

// open reads a signed checkpoint (C2SP tlog-checkpoint): origin, size and root on three lines.
func open(path string, verifier note.Verifier) tlog.Tree {
	text, err := os.ReadFile(path)
	check(err, "checkpoint %s", filepath.Base(path))
	signed, err := note.Open(text, note.VerifierList(verifier))
	check(err, "signature of checkpoint %s", filepath.Base(path))
	lines := strings.Split(signed.Text, "\n")
	if len(lines) < 4 || lines[0] != verifier.Name() {
		fail("checkpoint %s is of another log", filepath.Base(path))
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err, "size of checkpoint %s", filepath.Base(path))
	if size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		fail("size of checkpoint %s: not plain decimal", filepath.Base(path))
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	check(err, "root of checkpoint %s", filepath.Base(path))
	tree := tlog.Tree{N: size}
	if len(root) == tlog.HashSize {
		copy(tree.Hash[:], root)
	} else {
		fail("root of checkpoint %s has %d bytes", filepath.Base(path), len(root))
	}
	if size == 0 && tree.Hash != emptyRoot {
		fail("root of checkpoint %s: not that of no entries", filepath.Base(path))
	}
	return tree
}

// emptyRoot is the root of a tree without entries (RFC 6962), of which x/mod says nothing.
var emptyRoot = tlog.Hash(sha256.Sum256(nil))

// eachEntry walks a bundle (C2SP tlog-tiles): each entry is preceded by its length in two bytes, big-endian.
func eachEntry(dir string, bundle int64, width int, visit func(index int64, entry []byte)) {
	tile := tlog.Tile{H: height, L: -1, N: bundle, W: width}
	path := strings.Replace(tile.Path(), "tile/8/data/", "tile/entries/", 1)
	bytes, isFull := read(dir, path, width)
	for i := 0; i < width; i++ {
		index := bundle*256 + int64(i)
		if len(bytes) < 2 || len(bytes)-2 < int(binary.BigEndian.Uint16(bytes)) {
			fail("entry %d: bundle %s is cut", index, path)
		}
		length := int(binary.BigEndian.Uint16(bytes))
		visit(index, bytes[2:2+length])
		bytes = bytes[2+length:]
	}
	if len(bytes) > 0 && (width == 256 || !isFull) {
		fail("entry %d: bundle %s goes on after its last entry", bundle*256+int64(width), path)
	}
}

// files keeps the tiles that it read: a proof of each entry asks for the same few again and again.
type files struct {
	dir  string
	read map[string][]byte
}

func (f *files) Height() int { return height }

func (f *files) SaveTiles([]tlog.Tile, [][]byte) {}

func (f *files) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		bytes, known := f.read[path]
		if !known {
			var isFull bool
			bytes, isFull = read(f.dir, path, tile.W)
			width := tile.W
			if isFull {
				width = 256
			}
			if len(bytes) != width*tlog.HashSize {
				return nil, fmt.Errorf("tile %s has %d bytes", path, len(bytes))
			}
			f.read[path] = bytes
		}
		all = append(all, bytes[:tile.W*tlog.HashSize])
	}
	return all, nil
}

// read takes the full tile where the partial one is gone, and says so: a log may drop partial tiles once they are full.
func read(dir, path string, width int) (bytes []byte, isFull bool) {
	bytes, err := os.ReadFile(filepath.Join(dir, path))
	isFull = width == 256
	if os.IsNotExist(err) && !isFull {
		bytes, err = os.ReadFile(filepath.Join(dir, path[:strings.Index(path, ".p/")]))
		isFull = true
	}
	check(err, "file %s", path)
	return bytes, isFull
}

func check(err error, format string, args ...interface{}) {
	if err != nil {
		fail("%s: %v", fmt.Sprintf(format, args...), err)
	}
}

func fail(format string, args ...interface{}) {
	fmt.Printf("FAILED: "+format+"\n", args...)
	os.Exit(1)
}
