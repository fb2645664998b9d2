// Files and patterns made to exhaust a judge. Each must be answered, and answered fast; the limits are generous for slow machines.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bytesEvidence } from './bytes-evidence.ts'
import { compilePattern } from './pattern.ts'
import { findValidator } from './registry.ts'

const mebibyte = 1_048_576

const validator = findValidator('config_format@4')
if (validator?.scope !== 'file') assert.fail('config_format@4 judges files')

const hostile: [string, string][] = [
  ['brackets.json', '['.repeat(mebibyte)],
  ['unclosed-escapes.json', `"${'\\"'.repeat(mebibyte / 2 - 1)}`],
  ['brackets.yaml', '['.repeat(200_000)],
  ['names.xml', '<a>'.concat('<'.repeat(200_000))],
  ['tables.toml', '[a]\n'.repeat(100_000)],
  ['brackets.toml', `a = ${'['.repeat(mebibyte / 2)}`],
  ['tags.xml', '<a>'.repeat(mebibyte / 4)],
  ['openings.xml', '<!--'.repeat(mebibyte / 4)],
  ['cdata.xml', '<![CDATA['.repeat(mebibyte / 10)],
  ['quotes.csv', '"'.repeat(mebibyte - 1)],
  ['commas.csv', ','.repeat(mebibyte)],
  ['indents.cfg', `hostname a\nversion 1\n${Array.from({ length: 1400 }, (_, n) => `${' '.repeat(n)}x`).join('\n')}`],
  ['braces.conf', `system {\n${'a {\n'.repeat(mebibyte / 4)}`],
  ['braces-in-a-line.conf', `system {\n${'a{'.repeat(mebibyte / 2)}`],
  ['apostrophes.conf', `system {\n${"a' '".repeat(mebibyte / 4)}`],
  ['hashes.conf', `system {\n${'/*/a#'.repeat(mebibyte / 5)}`],
  ['dashes.conf', `system {\n${'-'.repeat(mebibyte)}`],
  ['indents-and-hashes.cfg', `sysname a\n${Array.from({ length: 1400 }, (_, n) => `${' '.repeat(n)}x`).join('\n')}`],
  ['banner.cfg', `sysname a\nheader login information %\n${'#\n'.repeat(mebibyte / 2)}`],
  ['edits.conf', `#config-version=1\n${'config a\nedit b\n'.repeat(mebibyte / 16)}`],
  ['quotes.conf', `#config-version=1\nset a "\n${'\\"\n'.repeat(mebibyte / 3)}`],
  ['going-on.rsc', `# today by RouterOS 7\n${'\\\n'.repeat(mebibyte / 2)}`],
  ['backslashes.rsc', `# today by RouterOS 7\n/ip address\nadd ${'\\'.repeat(mebibyte - 45)}`],
  ['commands.txt', `set system services ssh\n${"set a '\n--more--\n".repeat(mebibyte / 16)}`],
  ['banners.cfg', `hostname a\nsw1#show\n${'banner login\nEOF\n'.repeat(mebibyte / 17)}`],
  ['scripts.conf', `ltm rule a {\n${'when {\n'.repeat(mebibyte / 8)}`],
  ['script-in-a-line.conf', `ltm rule a {\n${'{'.repeat(mebibyte)}`],
  ['quotes-in-braces.conf', `ltm pool a {\n${'"a\\"\n'.repeat(mebibyte / 6)}`],
  ['echoes.cfg', `# TiMOS-C\n${'configure\n '.repeat(mebibyte / 12)}\n   a\n  b`],
  ['lines.ini', `[a]\n${'x\n'.repeat(500_000)}`],
]
for (const [name, text] of hostile) {
  test(`${name} is refused within ten seconds`, async () => {
    const started = performance.now()
    const finding = await validator.check(bytesEvidence(name, Buffer.from(text.slice(0, mebibyte))), {})
    assert.equal(finding.valid, false)
    assert.ok(JSON.stringify(finding).length < 10_000)
    assert.ok(performance.now() - started < 10_000)
  })
}

test('a file above the limit is refused without being read', async () => {
  const evidence = {
    ...bytesEvidence('a.json', Buffer.from('{}')),
    size: mebibyte + 1,
    bytes: () => assert.fail('was read'),
  }
  const { errors } = await validator.check(evidence, {})
  assert.deepEqual(errors, ['File is too large to be read as text: a.json has 1048577 bytes, the limit is 1048576'])
})

test('a pattern that hangs a backtracking engine answers at once', () => {
  const pattern = compilePattern('(a+)+b')
  if ('refused' in pattern) assert.fail(pattern.refused)
  const started = performance.now()
  assert.equal(pattern.matches('a'.repeat(16_000)), false)
  assert.ok(performance.now() - started < 5_000)
})
