export { nearest } from '@writ/api/nearest'
