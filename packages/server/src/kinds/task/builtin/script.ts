import { Type } from 'typebox'
import { type Handler, TaskError } from '../handler.ts'
import type { Scripts } from '../script/scripts.ts'
import { define } from './define.ts'

/** Runs a script of the scripts folder in a sandbox. Without a folder it is there and refuses, so that the reason is told. */
export const scriptExecute = (scripts: Scripts | null, on: { timeoutSeconds: number; concurrent: number }): Handler =>
  define({
    name: 'script.execute',
    title: 'Run a script of the scripts folder in a sandbox',
    input: Type.Object({
      script_name: Type.Optional(Type.String({ description: 'A file of the folder, without its ending' })),
      args: Type.Optional(Type.Union([Type.Record(Type.String(), Type.Unknown()), Type.Null()])),
    }),
    queue: 'script',
    // Waiting for a place is no part of the script's own limit, which the scripts keep themselves.
    timeoutMs: (on.timeoutSeconds + 3_600) * 1_000,
    concurrency: on.concurrent,
    sideEffect: 'irreversible',
    // It is code of the operators, with whatever the sandbox of this host allows.
    roles: ['ops', 'admin'],
    intent: async ({ script_name }) => (script_name && scripts ? scripts.intent(script_name) : null),
    async run({ script_name, args }, { runId, signal, log, intent = null }) {
      if (!script_name) throw new TaskError('SCRIPT_NAME_MISSING', 'script_name is required', { retryable: false })
      if (!scripts)
        throw new TaskError('SCRIPTS_OFF', 'Scripts are off: set WRIT_SCRIPTS_DIR to the folder that holds them', {
          retryable: false,
        })
      return scripts.run(script_name, args ?? {}, { taskId: runId, signal, log, intent })
    },
  })
