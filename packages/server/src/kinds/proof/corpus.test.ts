// The golden corpus: evidence files with the finding that each validator version gave them. A difference means that old evidence would no
// longer re-verify; the answer to it is a new validator version, never an edited pin.
import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { test } from 'node:test'
import { bytesEvidence } from './bytes-evidence.ts'
import { findValidator, listValidators } from './registry.ts'
import { citation, type Evidence, type EvidenceRole, type Validator } from './validator.ts'

const corpus = join(import.meta.dirname, 'corpus')
// Beside a file f: f.expected.json, the finding, and if need be f.params.json. A set is a folder whose files begin with their role.
const pin = '.expected.json'

for (const validator of listValidators()) {
  const own = await casesOf(validator)
  // A version finds what the one before it found, where its own folder says nothing else of a file of that name.
  const names = new Set(own.map(({ name }) => name))
  const inherited: typeof own = []
  const earlier = listValidators().filter(({ name, version }) => name === validator.name && version < validator.version)
  for (const before of earlier.toSorted((a, b) => b.version - a.version)) {
    const cases = (await casesOf(before)).filter(({ name }) => !names.has(name))
    inherited.push(...cases)
    for (const { name } of cases) names.add(name)
  }
  for (const outcome of ['accept', 'reject'] as const)
    test(`${citation(validator)} has files to ${outcome}`, () => assert.ok(own.some((one) => one.outcome === outcome)))
  for (const { folder, name, outcome } of [...own, ...inherited]) {
    test(`${citation(validator)} ${outcome}s ${basename(dirname(folder))} ${name}`, async () => {
      const expected = JSON.parse(await readFile(join(folder, name + pin), 'utf8'))
      const params = await readFile(join(folder, `${name}.params.json`), 'utf8').then(JSON.parse, () => ({}))
      assert.equal(expected.valid, outcome === 'accept')
      assert.deepEqual(await check(validator, join(folder, name), params), expected)
      assert.deepEqual(validator.examineParams(params), [])
    })
  }
}

async function casesOf(validator: Validator) {
  const cases = (['accept', 'reject'] as const).map(async (outcome) => {
    const folder = join(corpus, citation(validator), outcome)
    const pins = (await readdir(folder)).filter((name) => name.endsWith(pin))
    return pins.map((name) => ({ folder, outcome, name: name.slice(0, -pin.length) }))
  })
  return (await Promise.all(cases)).flat()
}

test('every folder of the corpus belongs to a validator, and every file in it to a case', async () => {
  for (const cited of await readdir(corpus)) {
    assert.ok(findValidator(cited), cited)
    for (const outcome of ['accept', 'reject']) {
      const names = await readdir(join(corpus, cited, outcome))
      for (const name of names) {
        const of = name.replace(/\.(expected|params)\.json$/, '')
        assert.ok(names.includes(of) && names.includes(of + pin), `${cited}/${outcome}/${name}`)
      }
    }
  }
})

async function check(validator: Validator, path: string, params: unknown) {
  if (validator.scope === 'file') return validator.check(await load(path), params)
  const files: Evidence[] = []
  for (const name of (await readdir(path)).toSorted()) {
    const role: EvidenceRole | undefined = name.startsWith('before')
      ? 'before'
      : name.startsWith('after')
        ? 'after'
        : undefined
    files.push(await load(join(path, name), role))
  }
  return validator.check(files, params)
}

async function load(path: string, role?: EvidenceRole): Promise<Evidence> {
  return bytesEvidence(basename(path), await readFile(path), { role })
}
