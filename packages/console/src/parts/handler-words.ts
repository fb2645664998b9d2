import type { HandlerInfo } from '@writ/api'
import { useTranslation } from 'react-i18next'
import type { Schema } from './schema.ts'

/**
 * What a handler says of itself. The server says it in English, as its author wrote it; what comes with Writ is told in the language of the page.
 * `schemaOf`: its input with what is said of the fields.
 */
export function useHandlerWords() {
  const { t, i18n } = useTranslation()
  const word = ({ name, source }: HandlerInfo, of: string): string | undefined => {
    // A dot would look for a word below a word.
    const key = `builtin.${name.replaceAll('.', '_')}.${of}`
    return source === 'builtin' && i18n.exists(key) ? t(key as 'builtin.demo_script.title') : undefined
  }
  return {
    titleOf: (handler: HandlerInfo): string =>
      // A file of which no handler is known has none that could say what it is called.
      handler.fault !== null && handler.max_attempts === 0
        ? t('handler.brokenFile')
        : (word(handler, 'title') ?? handler.title),
    schemaOf(handler: HandlerInfo): Schema | null {
      const schema = handler.input as Schema | null
      const fields = schema?.properties
      if (handler.source !== 'builtin' || typeof fields !== 'object' || fields === null) return schema
      return {
        ...schema,
        properties: Object.fromEntries(
          Object.entries(fields as Record<string, Schema>).map(([name, field]) => {
            const description = word(handler, name)
            return [name, description === undefined ? field : { ...field, description }]
          }),
        ),
      }
    },
  }
}
