//! What a database says of its tables: columns and types, primary keys, and how much of an old row is told.

use super::{Database, Fault};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub schema: String,
    pub name: String,
    /// In their order.
    pub columns: Vec<Column>,
    /// Columns of the primary key, in the key's order.
    pub key: Vec<String>,
    /// REPLICA IDENTITY FULL: updates and deletes tell the whole old row.
    pub tells_old_rows: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
    /// GENERATED ALWAYS AS … STORED.
    pub is_generated: bool,
}

/// A type; of a domain, the type below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// As the catalog has it: `int4`, `timestamptz`. Of arrays that of the elements.
    pub name: String,
    pub is_enum: bool,
    pub is_array: bool,
    /// `atttypmod`: what stands in parentheses behind a type, in a form of the type's own; -1 where nothing does.
    pub modifier: i32,
}

impl Kind {
    /// Of `numeric(12, 2)`: 12 and 2. The scale may be negative, or above the precision.
    pub fn precision_and_scale(&self) -> Option<(u32, i32)> {
        let modifier = u32::try_from(self.modifier.checked_sub(4).filter(|modifier| *modifier >= 0)?).ok()?;
        // Eleven bits, with their sign.
        let scale = ((modifier & 0x7ff) ^ 0x400) as i32 - 0x400;
        Some((modifier >> 16, scale))
    }

    /// Of `timestamp(3)`: 3. Without a number, 6.
    pub fn fraction_digits(&self) -> u32 {
        u32::try_from(self.modifier).unwrap_or(6)
    }
}

impl Table {
    /// `public.orders`
    pub fn qualified(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

const SQL: &str = "
with recursive below (domain, type, modifier) as (
  select oid, typbasetype, typtypmod from pg_type where typtype = 'd'
  union all
  select below.domain, t.typbasetype, case t.typtypmod when -1 then below.modifier else t.typtypmod end
  from below join pg_type t on t.oid = below.type and t.typtype = 'd'
)
select n.nspname, c.relname, c.relreplident, a.attname,
  coalesce(e.typname, t.typname),
  coalesce(e.typtype, t.typtype) = 'e',
  e.oid is not null,
  coalesce(b.modifier, a.atttypmod),
  a.attgenerated <> '',
  coalesce(array_position(i.indkey::int2[], a.attnum), -1)
from pg_class c
join pg_namespace n on n.oid = c.relnamespace and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join below b on b.domain = a.atttypid and (select typtype from pg_type where oid = b.type) <> 'd'
join pg_type t on t.oid = coalesce(b.type, a.atttypid)
left join pg_type e on e.oid = t.typelem and t.typcategory = 'A'
left join pg_index i on i.indrelid = c.oid and i.indisprimary
where c.relkind in ('r', 'p')
order by n.nspname, c.relname, a.attnum";

/// Every table that is not Postgres' own, by schema and name.
pub fn tables(database: &mut Database) -> Result<Vec<Table>, Fault> {
    let mut tables: Vec<Table> = Vec::new();
    let mut key: Vec<(i64, String)> = Vec::new();
    for row in database.ask(SQL)? {
        let text = |column: usize| row.get(column).cloned().flatten().unwrap_or_default();
        let (schema, name, is_new) =
            (text(0), text(1), |table: &Table| table.schema != text(0) || table.name != text(1));
        if tables.last().is_none_or(is_new) {
            close(&mut tables, &mut key);
            tables.push(Table { schema, name, columns: Vec::new(), key: Vec::new(), tells_old_rows: text(2) == "f" });
        }
        let kind = Kind {
            name: text(4),
            is_enum: text(5) == "t",
            is_array: text(6) == "t",
            modifier: text(7).parse().unwrap_or(-1),
        };
        if let Ok(place @ 0..) = text(9).parse() {
            key.push((place, text(3)));
        }
        let column = Column { name: text(3), kind, is_generated: text(8) == "t" };
        tables.last_mut().into_iter().for_each(|table| table.columns.push(column.clone()));
    }
    close(&mut tables, &mut key);
    Ok(tables)
}

/// The key of the last table, in its order.
fn close(tables: &mut [Table], key: &mut Vec<(i64, String)>) {
    key.sort();
    let names = key.drain(..).map(|(_, name)| name).collect();
    if let Some(table) = tables.last_mut() {
        table.key = names;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_a_type() {
        let kind = |modifier| Kind { name: String::new(), is_enum: false, is_array: false, modifier };
        // As pg_attribute has them of numeric(12, 2), numeric(5, -2), numeric(3, 5) and numeric.
        for (modifier, want) in [
            ((12 << 16) + 2 + 4, Some((12, 2))),
            ((5 << 16) + 2046 + 4, Some((5, -2))),
            ((3 << 16) + 5 + 4, Some((3, 5))),
            (-1, None),
        ] {
            assert_eq!(kind(modifier).precision_and_scale(), want);
        }
        assert_eq!((kind(-1).fraction_digits(), kind(3).fraction_digits()), (6, 3));
    }
}
