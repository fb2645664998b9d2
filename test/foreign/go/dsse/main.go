// Verifies DSSE envelopes with secure-systems-lab/go-securesystemslib, with a key from a PEM file.
//
//	dsse <public key in PEM> <envelope> ...
//
// The adapter gives no key id of its own, as sigstore's does not, so the library derives one (the key's SSH fingerprint) and
// skips signatures whose `keyid` says another. Says `ok: <n> envelopes`, or FAILED and why, with exit code 1.
package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

type key struct{ *ecdsa.PublicKey }

func (k key) KeyID() (string, error)   { return "", nil }
func (k key) Public() crypto.PublicKey { return k.PublicKey }
func (k key) Verify(_ context.Context, data, sig []byte) error {
	digest := sha256.Sum256(data)
	if !ecdsa.VerifyASN1(k.PublicKey, digest[:], sig) {
		return errors.New("the signature is not valid")
	}
	return nil
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	check(err)
	block, _ := pem.Decode(text)
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	check(err)
	verifier, err := dsse.NewEnvelopeVerifier(key{public.(*ecdsa.PublicKey)})
	check(err)
	for _, name := range os.Args[2:] {
		text, err := os.ReadFile(name)
		check(err)
		var envelope dsse.Envelope
		check(json.Unmarshal(text, &envelope))
		if _, err := verifier.Verify(context.Background(), &envelope); err != nil {
			check(fmt.Errorf("%s: %w", name, err))
		}
	}
	fmt.Printf("ok: %d envelopes\n", len(os.Args)-2)
}

func check(err error) {
	if err != nil {
		fmt.Printf("FAILED: %v\n", err)
		os.Exit(1)
	}
}
