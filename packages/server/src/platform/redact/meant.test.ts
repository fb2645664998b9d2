import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { createRedactor } from './redactor.ts'
import type { RedactionKind } from './rules.ts'
import { createScanner } from './stream.ts'

const redactor = createRedactor({ key: Buffer.alloc(32, 7), live: ['a-live-secret-of-this-process'] })

/** Bytes that are random and the same each time. */
const noise = (size: number, seed: string) => createHash('shake256', { outputLength: size }).update(seed).digest()

function scan(bytes: Uint8Array): [RedactionKind, number][] {
  const scanner = createScanner(redactor)
  scanner.push(bytes)
  return scanner.end().map(({ kind, offset }) => [kind, offset])
}

const between = (text: string | Uint8Array) => {
  const [before, after] = [noise(200, 'before'), noise(200, 'after')]
  assert.deepEqual(scan(Buffer.concat([before, after])), [])
  return scan(Buffer.concat([before, Buffer.from(' '), Buffer.from(text), Buffer.from(' '), after])).map(
    ([kind, offset]) => [kind, offset - 201],
  )
}

test('what comes about by chance between bytes that are no text is not taken for a secret', () => {
  for (const bytes of [
    'pwd=\x11\x12*l9\xa1\xcc\xc2%\x06\xe7eI^',
    'pwD=\xf7ab\xfd',
    'pwd=\xeb\x95\xb4S\xb4#',
    'PWD:ab\x03cdef',
    'r@t.zg',
    'X@p.eR',
    'bob.j@aBcd.Efg',
    '://ey\xb4\xb2T\xa7\xf3\xe5w:\xf9@v',
    '://e:x@v',
    '\x01a://u:\x02\x03\x04\x05\x06@v',
  ])
    assert.deepEqual(between(Buffer.from(bytes, 'latin1')), [], JSON.stringify(bytes))
})

test('what somebody wrote is found between them', () => {
  const jwt = ['eyJhbGciOiJIUzI1NiJ9', 'eyJzdWIiOiIxMjM0NTY3ODkwIn0', 'dozjgNryP4J3jVmNHl0w5N'].join('.')
  const cases: [string, RedactionKind, number][] = [
    ['password=hunter2', 'assigned-secret', 9],
    ['pwd=abcd', 'assigned-secret', 4],
    ['DB_PASSWORD=hunter2\x01\x02\x03', 'assigned-secret', 12],
    ['password="ein Schlüssel"', 'assigned-secret', 10],
    [`AKIA${'IOSFODNN7EXAMPLE'}`, 'cloud-key', 0],
    ['-----BEGIN PRIVATE KEY-----\x01\x02', 'private-key', 0],
    [`Bearer ${'Ab1Cd2Ef3Gh4'.repeat(2)}`, 'authorization', 7],
    [jwt, 'authorization', 0],
    ['postgres://writ:s@db:5432/writ', 'url-credentials', 16],
    ['https://u:geheim@host', 'url-credentials', 10],
    ['jane.doe@example.org', 'contact', 0],
    ['bob@x.org', 'contact', 0],
    ['BOB@ACME.COM', 'contact', 0],
    ['+49 151 23456789', 'contact', 0],
    ['4111 1111 1111 1111', 'personal-id', 0],
    ['a-live-secret-of-this-process', 'live-secret', 0],
  ]
  for (const [text, kind, at] of cases) assert.deepEqual(between(text)[0], [kind, at], JSON.stringify(text))
})

test('a value that chance began does not hide what is written in it', () => {
  assert.deepEqual(between(Buffer.from('pwd=\x01\x02\xff,password=hunter2', 'latin1')), [['assigned-secret', 17]])
  assert.deepEqual(between(Buffer.from('pwd=\x01\x02\xffpassword=hunter2', 'latin1')), [['assigned-secret', 16]])
  assert.deepEqual(between(Buffer.from(`pwd=\x01\x02\xff AKIA${'IOSFODNN7EXAMPLE'}`, 'latin1')), [['cloud-key', 8]])
})

test('in texts of any encoding nothing is asked of what is found', () => {
  const short: [string, RedactionKind, number][] = [
    ['pwd=\xfc\xe4\xf6\xdf', 'assigned-secret', 4],
    ['r@t.zG', 'contact', 0],
    ['://u:\xfc@host', 'url-credentials', 5],
  ]
  // Latin-1, and what a terminal of a switch leaves in a capture.
  const line = '\x1b[7mGr\xfc\xdfe\x1b[0m --More--\b\b\b\b \x07\r\n'
  for (const [text, kind, at] of short) {
    const bytes = Buffer.from(`${line.repeat(5)}${text} ${line.repeat(5)}`, 'latin1')
    assert.deepEqual(scan(bytes), [[kind, at + 5 * line.length]], JSON.stringify(text))
  }
  // Of two bytes a letter, one is often a control character.
  const wide = Buffer.from(`${'nächster Ёжик '.repeat(12)}r@t.zG ${'nächster Ёжик '.repeat(12)}`, 'utf16le')
  assert.deepEqual(scan(wide), [['contact', 2 * 12 * 'nächster Ёжик '.length]])
})

test('sixteen megabytes of random bytes are rarely flagged', () => {
  // Of the same bytes the patterns alone find 9.
  const found = Array.from({ length: 5 }, (_, i) => scan(noise(16 * 1_048_576, `file ${i}`)))
  assert.ok(found.flat().length <= 1, JSON.stringify(found))
})
