// The pinned parsers and decoders. libraries.test.ts compares this table with what is installed: an upgrade that forgets it fails,
// and an upgrade that changes a verdict fails the corpus.
const installed = {
  ajv: '8.20.0',
  'ajv-formats': '3.0.1',
  'csv-parse': '7.0.3',
  diff: '9.0.0',
  'fast-png': '8.0.0',
  'fast-xml-parser': '5.12.1',
  'jpeg-js': '0.4.4',
  microdiff: '1.6.0',
  picomatch: '4.0.7',
  re2js: '2.10.0',
  'smol-toml': '1.9.1',
  yaml: '2.9.1',
} as const

export type Library = keyof typeof installed

/** Library name to exact version. */
export type LibraryVersions = Readonly<Record<string, string>>

/** The pinned versions of the named libraries, in alphabetical order. */
export function versionsOf(...names: Library[]): LibraryVersions {
  return Object.fromEntries(names.toSorted().map((name) => [name, installed[name]]))
}

/** The whole table, for the test that holds it against the installed packages. */
export function allLibraries(): LibraryVersions {
  return installed
}
