import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { openCommandLine } from './test-terminal.ts'

const policy = 'Give a policy'
const key = 'Give the private key'
const commands: [line: (file: string) => string[], advice: string][] = [
  [(file) => ['anchor', 'timestamp', '--tsa', 'http://127.0.0.1:1/', file], 'Give the file whose digest'],
  [(file) => ['audit', 'verify', '--policy', file], policy],
  [(file) => ['verify', file], 'Give the zip itself'],
  [(file) => ['verify', '--policy', file, 'none.zip'], policy],
  [(file) => ['rules', 'publish', file], 'shows a rule set'],
  [(file) => ['proof', 'run', '-t', '1', file], 'Evidence is sent file by file'],
  [(file) => ['proof', 'run', '-t', '1', import.meta.filename, '--params', file], 'as YAML or JSON'],
  [(file) => ['artifact', 'upload', '-r', '1', file], 'Evidence is sent file by file'],
  [(file) => ['task', 'batch', file], '--help'],
  [(file) => ['handler', 'add', 'a', 'http://127.0.0.1:1/', '--input-schema', file], 'Give a JSON Schema'],
  [(file) => ['signing-key', 'enrol', '--ssh-key', file], key],
  [(file) => ['approve', 'ticket', '1', '--ssh-key', file], key],
]
for (const [line, advice] of commands)
  test(`"writ ${line('FILE')
    .join(' ')
    .replace(import.meta.filename, 'FILE')}" says what it wants instead of a folder or of nothing`, async (t) => {
    const { writ, folder, asked } = await openCommandLine(t)
    const at = join(folder, 'there')
    await mkdir(at)
    const cases = [
      [at, `${at} is a folder`],
      [join(folder, 'gone'), `There is no file ${join(folder, 'gone')}`],
      [join(import.meta.filename, 'x'), `There is no file ${join(import.meta.filename, 'x')}`],
    ] as const
    for (const [file, said] of cases) {
      const { code, err } = await writ(line(file))
      assert.equal(code, 2, err)
      assert.ok(err.startsWith(`writ: ${said}`) && err.includes(advice), err)
    }
    assert.deepEqual(asked, [])
  })

const notEmpty = commands.filter(
  ([line]) => !/^(verify FILE|task|proof run -t 1 FILE|artifact)/.test(line('FILE').join(' ')),
)
for (const [line, advice] of notEmpty)
  test(`"writ ${line('FILE')
    .join(' ')
    .replace(import.meta.filename, 'FILE')}" refuses a file with nothing in it`, async (t) => {
    const { writ, folder, asked } = await openCommandLine(t)
    const file = join(folder, 'empty.pub')
    await writeFile(file, '')
    const { code, err } = await writ(line(file))
    assert.equal(code, 2, err)
    assert.ok(err.startsWith(`writ: ${file} is empty`) && err.includes(advice), err)
    assert.deepEqual(asked, [])
  })
