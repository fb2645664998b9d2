import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { findPackageJSON } from 'node:module'
import { test } from 'node:test'
import { allLibraries } from './libraries.ts'

for (const [name, version] of Object.entries(allLibraries())) {
  test(`the report's version of ${name} is the installed one`, async () => {
    const found = findPackageJSON(name, import.meta.url) ?? assert.fail('not installed')
    assert.equal(JSON.parse(await readFile(found, 'utf8')).version, version)
  })
}
