import { Type } from 'typebox'
import type { Feishu } from '../feishu/feishu.ts'
import type { Handler } from '../handler.ts'
import { define } from './define.ts'

const AppId = Type.String({ minLength: 1, maxLength: 200 })
const AppSecret = Type.String({ minLength: 1, maxLength: 500, writeOnly: true })

/** Fetches a tenant access token of Feishu, or answers the one that still holds. */
export const feishuGetToken = (feishu: Feishu): Handler =>
  define({
    name: 'feishu_get_token',
    title: 'Fetch a tenant access token of Feishu',
    input: Type.Object({
      app_id: Type.Optional(AppId),
      app_secret: Type.Optional(AppSecret),
      app_hash: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
    }),
    timeoutMs: 15_000,
    run: async (input, { project, signal }) => feishu.token(project, input, signal),
  })

/** Registers an application with its secret, or keeps a token that was fetched elsewhere. */
export const feishuSetToken = (feishu: Feishu): Handler =>
  define({
    name: 'feishu_set_token',
    title: 'Register a Feishu application, or set its token',
    input: Type.Union([
      Type.Object({ app_id: AppId, app_secret: AppSecret }),
      Type.Object({
        app_id: AppId,
        token: Type.String({ minLength: 1, maxLength: 2_000, writeOnly: true }),
        expire: Type.Optional(
          Type.Integer({ minimum: 1, maximum: 86_400, description: 'Seconds; 3600 when left out' }),
        ),
      }),
    ]),
    timeoutMs: 15_000,
    async run(input, { project }) {
      if ('app_secret' in input) {
        const { app_hash } = await feishu.register(project, input)
        const msg = 'Application registered successfully'
        return { status: 'registered', msg, app_hash, app_id: input.app_id }
      }
      await feishu.setToken(project, { expire: 3_600, ...input })
      return { status: 'ok', msg: 'Token manually updated' }
    },
  })
