# Run by the image of PostgreSQL while its volume is empty: the owner, who migrates and backs up, and the login of the servers, which is
# neither owner nor superuser (docs/operate.md, "PostgreSQL"). The image's own superuser is for nobody.
psql --set=ON_ERROR_STOP=1 --no-psqlrc --quiet --username="$POSTGRES_USER" --dbname=postgres \
  --set=owner="$OWNER_PASSWORD" --set=server="$SERVER_PASSWORD" <<'SQL'
create role writ_owner login createrole bypassrls password :'owner';
create role writ_server login password :'server';
create database writ owner writ_owner;
SQL
