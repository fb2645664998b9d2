// Reads a whole Writ log over HTTP with filippo.io/torchwood: the checkpoint under a policy, then every entry, each
// authenticated by torchwood's client against the checkpoint's root.
//
//	tail [-token <bearer token>] <address of the log> <file with the log's vkey>
//
// Says `ok: <n> entries, ...`, or FAILED and why, with exit code 1.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
)

type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+string(b))
	}
	return http.DefaultTransport.RoundTrip(r)
}

func main() {
	token := flag.String("token", "", "bearer token of a log that is not public")
	flag.Parse()
	vkey, err := os.ReadFile(flag.Arg(1))
	check(err)
	verifier, err := note.NewVerifier(strings.TrimSpace(string(vkey)))
	check(err)
	ctx := context.Background()
	// Few at a time: without a limit torchwood asks for 50, more than a simple server of files lets wait, and then retries for minutes.
	fetcher, err := torchwood.NewTileFetcher(flag.Arg(0), torchwood.WithHTTPClient(&http.Client{Transport: bearer(*token)}),
		torchwood.WithConcurrencyLimit(4))
	check(err)
	signed, err := fetcher.ReadEndpoint(ctx, "checkpoint")
	check(err)
	policy := torchwood.ThresholdPolicy(2, torchwood.OriginPolicy(verifier.Name()), torchwood.SingleVerifierPolicy(verifier))
	checkpoint, _, err := torchwood.VerifyCheckpoint(signed, policy)
	check(err)
	client, err := torchwood.NewClient(fetcher, torchwood.WithTimeout(time.Minute))
	check(err)
	count, bytes := int64(0), 0
	for index, entry := range client.AllEntries(ctx, checkpoint.Tree, 0) {
		if index != count {
			check(fmt.Errorf("entry %d came where %d was due", index, count))
		}
		count++
		bytes += len(entry)
	}
	check(client.Err())
	if count != checkpoint.N {
		check(fmt.Errorf("%d entries, the checkpoint says %d", count, checkpoint.N))
	}
	fmt.Printf("ok: %d entries, %d bytes, root %s\n", count, bytes, checkpoint.Hash)
}

func check(err error) {
	if err != nil {
		fmt.Printf("FAILED: %v\n", err)
		os.Exit(1)
	}
}
