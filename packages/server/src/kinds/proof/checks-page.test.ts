// docs/checks.md is what people write rules from: it names every check with every parameter, and its rule sets are valid.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { fourthEdition } from './formats/format.ts'
import { listValidators } from './registry.ts'
import { examineRuleSet } from './rule-set.ts'
import { citation, type Validator } from './validator.ts'

const docs = join(import.meta.dirname, '../../../../../docs')
const newest = [...new Map(listValidators().map((validator) => [validator.name, validator])).values()]
const named = (text: string) => [...text.matchAll(/`([a-z_]+)`/g)].map((match) => match[1]!)

for (const file of ['checks.md', 'zh-CN/checks.md']) {
  const page = await readFile(join(docs, file), 'utf8')

  test(`${file} names the newest version of each check, with its parameters and no others`, () => {
    const rows = [...page.matchAll(/^\| `(\w+@\d+)` \| ([^|]*) \|/gm)]
    assert.deepEqual(rows.map((row) => row[1]).toSorted(), newest.map(citation).toSorted())
    for (const [, cited, params = ''] of rows)
      assert.deepEqual(named(params).toSorted(), parametersOf(newest.find((one) => citation(one) === cited)!))
  })

  test(`${file} names every format`, () => {
    for (const format of fourthEdition.formats) assert.ok(page.includes(`\`${format}\``), format)
  })

  test(`the rule sets of ${file} can be published`, () => {
    const blocks = [...page.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)]
    assert.ok(blocks.length >= 3)
    for (const [, block = ''] of blocks) {
      const examined = examineRuleSet(parse(block))
      assert.ok(examined.ok, examined.ok ? '' : JSON.stringify(examined.problems))
    }
  })
}

function parametersOf({ params }: Validator): string[] {
  return Object.keys((params as unknown as { properties: object }).properties).toSorted()
}
