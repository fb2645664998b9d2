/** What a browser loads of the console before it shows the home page. Needs no browser. */
import assert from 'node:assert/strict'
import { readdir, readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { buildConsole } from '../../packages/console/build.ts'

const dist = path.join(import.meta.dirname, '../../packages/console/dist')
type Manifest = Record<string, { file: string; imports?: string[]; css?: string[] }>

/** What the page names, and these modules, and what all of them import at once: the files, and their compressed bytes. */
async function weigh(
  modules: readonly string[] = [],
): Promise<{ manifest: Manifest; files: Set<string>; bytes: number }> {
  await buildConsole()
  const manifest = JSON.parse(await readFile(path.join(dist, 'manifest.json'), 'utf8')) as Manifest
  const html = await readFile(path.join(dist, 'index.html'), 'utf8')
  const named = [...html.matchAll(/(?:src|href)="\.\/(-\/[^"]+\.js)"/g)].map(([, file]) => file!)
  assert.ok(named.length > 0)
  const byFile = new Map(Object.values(manifest).map((chunk) => [chunk.file, chunk]))
  const files = new Set<string>()
  const visit = (chunk: Manifest[string] | undefined, name: string) => {
    assert.ok(chunk, `${name} is not in the bundle`)
    if (files.has(chunk.file)) return
    files.add(chunk.file)
    for (const one of chunk.imports ?? []) visit(manifest[one], one)
  }
  for (const file of named) visit(byFile.get(file), file)
  for (const one of modules) visit(manifest[one], one)
  let bytes = 0
  for (const file of files) bytes += (await stat(path.join(dist, `${file}.gz`))).size
  return { manifest, files, bytes }
}

test('the home page needs at most 250 kB of compressed script, in either language', async () => {
  for (const words of ['src/words/en.ts', 'src/words/zh-cn.ts']) {
    const { bytes, files } = await weigh([words])
    assert.ok(bytes <= 250_000, `${bytes} bytes in ${[...files].join(', ')}`)
  }
})

test('verifiers, previews and diffs are loaded where they are needed, not with the first page', async () => {
  const { manifest, files } = await weigh()
  for (const late of ['src/proof/verify-trail.ts', 'src/pages/settings.tsx', 'src/pages/audit.tsx'])
    assert.ok(!files.has(manifest[late]!.file), late)
})

test('schemas of the API stay with the server: a first look loads the addresses of calls alone', async () => {
  const { files } = await weigh()
  const scripts = await Promise.all([...files].map((file) => readFile(path.join(dist, file), 'utf8')))
  assert.ok(scripts.some((script) => script.includes('/dead-letters/:id/replay')))
  // The mark that TypeBox leaves in each schema.
  assert.ok(!scripts.some((script) => script.includes('~kind')))
})

test('every script and style is there compressed too, and none holds what a policy would stop', async () => {
  await buildConsole()
  const names = await readdir(path.join(dist, '-'))
  for (const name of names.filter((one) => /\.(js|css)$/.test(one))) assert.ok(names.includes(`${name}.gz`), name)
  const html = await readFile(path.join(dist, 'index.html'), 'utf8')
  assert.doesNotMatch(html, /<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=/)
})
