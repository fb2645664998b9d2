import type { NewTask } from '@writ/api'

/** One word of a shell, quoted where it has to be. */
const word = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`)

/** A dispatch as it is sent: without what was left out. */
const bodyOf = (task: NewTask): string => JSON.stringify(task)

export interface Snippet {
  readonly name: 'curl' | 'CLI' | 'SDK'
  readonly text: string
}

/** The same dispatch by curl, by `writ` and by the typed client. The token is a variable of the shell, never a value. */
export function snippetsOf(task: NewTask, on: { readonly api: string; readonly project: string }): Snippet[] {
  const options: [string, string | number | undefined][] = [
    ['--input', task.input === undefined ? undefined : JSON.stringify(task.input)],
    ['--queue', task.queue],
    ['--priority', task.priority],
    ['--at', task.run_at],
    ['--attempts', task.max_attempts],
    ['--limit', task.timeout_ms === undefined ? undefined : task.timeout_ms / 1_000],
    ['--deadline', task.deadline_at],
    ['--key', task.unique_key],
    ['--concurrency-key', task.concurrency_key],
    ...(task.tags ?? []).map((tag): [string, string] => ['--tag', tag]),
    ['--callback', task.callback?.url],
  ]
  const cli = [
    `writ task run ${word(task.handler)} --project ${word(on.project)}`,
    ...options.flatMap(([name, value]) => (value === undefined ? [] : [`${name} ${word(String(value))}`])),
    '--wait',
  ]
  const curl = [
    `curl ${word(`${on.api}/tasks`)}`,
    '-H "Authorization: Bearer $WRIT_TOKEN"',
    `-H ${word(`X-Project: ${on.project}`)}`,
    "-H 'Content-Type: application/json'",
    `-d ${word(bodyOf(task))}`,
  ]
  return [
    { name: 'curl', text: curl.join(' \\\n  ') },
    { name: 'CLI', text: cli.join(' \\\n  ') },
    {
      name: 'SDK',
      text: `const task = await client.tasks.submit({\n  body: ${JSON.stringify(task, null, 2).replaceAll('\n', '\n  ')},\n})\nawait client.tasks.wait({ params: { id: task.id } })`,
    },
  ]
}
