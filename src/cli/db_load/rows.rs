//! What a change writes: the columns of `db/init.sql`, invented.

use super::people::{Person, date};
use super::plan::{Op, Step, Table, id};
use super::random::Random;

/// As SQL takes it: Postgres reads text as whatever type the column has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    Null,
    Number(u64),
    Text(String),
}

pub type Cells = Vec<(&'static str, Cell)>;

/// Every column that is written, by table.
pub fn columns(table: Table) -> &'static [&'static str] {
    match table {
        Table::Customers => &["id", "email", "phone", "full_name", "birth_date", "country", "created_at", "updated_at"],
        Table::Orders => &["id", "customer_id", "total", "notes", "due_on", "placed_at", "external_id"],
        Table::Events => &["id", "customer_id", "kind", "at", "payload"],
        Table::Visits => &["id", "customer_id", "shop", "at"],
    }
}

/// The clock of the plan: it begins in 2026, and a quarter of a second passes from change to change.
const FIRST_DAY: i64 = 20_454;
const TICK: u64 = 250_000;
const DAY: u64 = 86_400_000_000;

const AGENTS: [&str; 3] = ["Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0 (iPhone)", "shop-app/4.2 (Android 15)"];
const WISHES: [&str; 5] = [
    "please ring twice",
    "leave it with the neighbour",
    "a gift, without an invoice",
    "call me when it's at the door",
    "fragile!\nthis side up",
];

fn text(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

/// What is there in so many of a hundred rows.
fn mostly(random: &mut Random, percent: u64, make: impl FnOnce(&mut Random) -> Cell) -> Cell {
    if random.percent(percent) { make(random) } else { Cell::Null }
}

/// The columns that a change sets; an insert has all of them but the id, a delete none.
pub fn cells(seed: u64, step: &Step) -> Cells {
    let mut random = Random::of(&[seed, 3, step.number]);
    let random = &mut random;
    match (step.op, step.table) {
        (Op::Delete, _) => Vec::new(),
        (Op::Insert, Table::Customers) => customer(seed, step, random),
        (Op::Insert, Table::Orders) => order(seed, step, random),
        (Op::Insert, Table::Events) => event(seed, step, random),
        (Op::Insert, Table::Visits) => visit(seed, step, random),
        (Op::Update, Table::Customers) => customer_changes(seed, step, random),
        (Op::Update, Table::Orders) => vec![("total", total(random)), ("due_on", due_on(step, random))],
        (Op::Update, Table::Events) => vec![("kind", kind(random))],
        (Op::Update, Table::Visits) => vec![("shop", shop(random))],
    }
}

fn customer(seed: u64, step: &Step, random: &mut Random) -> Cells {
    let person = Person::of(seed, step.row);
    vec![
        ("email", mostly(random, 97, |random| text(person.email(random)))),
        ("phone", mostly(random, 88, |random| text(person.phone(random)))),
        ("full_name", mostly(random, 98, |_| text(person.name()))),
        ("birth_date", mostly(random, 85, |_| text(person.birth_date()))),
        ("country", mostly(random, 95, |_| text(person.country()))),
        ("created_at", at(step)),
        ("updated_at", Cell::Null),
    ]
}

/// Another address of mail, another phone, or both.
fn customer_changes(seed: u64, step: &Step, random: &mut Random) -> Cells {
    let person = Person::of(seed, step.row);
    let mut cells = Vec::new();
    let which = random.below(3);
    if which != 0 {
        cells.push(("email", text(person.email(random))));
    }
    if which != 1 {
        cells.push(("phone", mostly(random, 90, |random| text(person.phone(random)))));
    }
    cells.push(("updated_at", at(step)));
    cells
}

fn order(seed: u64, step: &Step, random: &mut Random) -> Cells {
    vec![
        ("customer_id", customer_id(seed, step)),
        ("total", total(random)),
        ("notes", mostly(random, 50, |random| text(notes(seed, step, random)))),
        ("due_on", due_on(step, random)),
        ("placed_at", text(time(step).replace('Z', ""))),
        ("external_id", mostly(random, 70, |random| text(uuid(random)))),
    ]
}

/// What people write to a shop: where they live, and how to reach them.
fn notes(seed: u64, step: &Step, random: &mut Random) -> String {
    let wish = random.pick(&WISHES);
    let Some(customer) = step.customer else { return wish.into() };
    let person = Person::of(seed, customer);
    match random.below(3) {
        0 => wish.into(),
        1 => format!("{}: {}; {wish}", person.name(), person.address(random)),
        _ => format!("{wish} {}", person.phone(random)),
    }
}

fn event(seed: u64, step: &Step, random: &mut Random) -> Cells {
    let kind = kind(random);
    let payload = mostly(random, 90, |random| {
        let mut payload = serde_json::json!({
            "page": format!("/goods/{}", 1 + random.below(5000)),
            // RFC 5737, RFC 3849: addresses for documents.
            "ip": if random.percent(30) { format!("2001:db8::{:x}", random.below(65_536)) } else { format!("203.0.113.{}", 1 + random.below(254)) },
            "agent": random.pick(&AGENTS),
        });
        if let Some(customer) = step.customer.filter(|_| random.percent(30)) {
            let person = Person::of(seed, customer);
            payload["ship_to"] = serde_json::json!({ "name": person.name(), "address": person.address(random) });
        }
        text(payload.to_string())
    });
    vec![("customer_id", customer_id(seed, step)), ("kind", kind), ("at", at(step)), ("payload", payload)]
}

fn visit(seed: u64, step: &Step, random: &mut Random) -> Cells {
    vec![("customer_id", customer_id(seed, step)), ("shop", shop(random)), ("at", at(step))]
}

fn customer_id(seed: u64, step: &Step) -> Cell {
    step.customer.map_or(Cell::Null, |customer| Cell::Number(id(seed, customer)))
}

fn total(random: &mut Random) -> Cell {
    // Small ones often, and one in a thousand at the column's limit.
    let cents = match random.below(1000) {
        0 => 999_999_999_999,
        1..800 => random.below(10_000),
        _ => random.below(1_000_000),
    };
    mostly(random, 99, |_| text(format!("{}.{:02}", cents / 100, cents % 100)))
}

fn kind(random: &mut Random) -> Cell {
    text(random.pick(&["view", "search", "click", "add_to_cart", "checkout", "sign_in"]))
}

fn shop(random: &mut Random) -> Cell {
    mostly(random, 98, |random| Cell::Number(1 + random.below(40)))
}

fn due_on(step: &Step, random: &mut Random) -> Cell {
    let day = (micros(step) / DAY) as i64 + FIRST_DAY + random.below(30) as i64;
    mostly(random, 80, |_| text(date(day)))
}

fn uuid(random: &mut Random) -> String {
    let (a, b) = (random.number(), random.number());
    // Version 4, variant 1.
    let (c, d) = ((a & 0xfff) | 0x4000, ((b >> 48) & 0x3fff) | 0x8000);
    format!("{:08x}-{:04x}-{c:04x}-{d:04x}-{:012x}", a >> 32, (a >> 16) & 0xffff, b & 0xffff_ffff_ffff)
}

/// Since the first day.
fn micros(step: &Step) -> u64 {
    step.number * TICK + Random::of(&[step.number]).below(TICK)
}

fn at(step: &Step) -> Cell {
    text(time(step))
}

fn time(step: &Step) -> String {
    let micros = micros(step);
    let (day, of_day) = (FIRST_DAY + (micros / DAY) as i64, micros % DAY);
    let (seconds, fraction) = (of_day / 1_000_000, of_day % 1_000_000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{}T{hours:02}:{minutes:02}:{:02}.{fraction:06}Z", date(day), seconds % 60)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::super::plan::{Mix, Plan, TABLES, VERSION};
    use super::*;

    fn all(count: usize) -> Vec<(Step, Cells)> {
        let mut plan = Plan::of(7, Mix { updates: 30, deletes: 5 });
        (0..count).map(|_| plan.step()).map(|step| (step, cells(7, &step))).collect()
    }

    #[test]
    fn inserts_have_every_column_and_updates_some_of_them() {
        for (step, cells) in all(5000) {
            let names: Vec<&str> = cells.iter().map(|(name, _)| *name).collect();
            match step.op {
                Op::Insert => assert_eq!(names, columns(step.table)[1..], "{step:?}"),
                Op::Update => {
                    assert!(
                        !names.is_empty() && names.iter().all(|name| columns(step.table).contains(name)),
                        "{step:?}"
                    )
                }
                Op::Delete => assert_eq!(names, [""; 0], "{step:?}"),
            }
        }
    }

    #[test]
    fn every_column_is_null_somewhere_where_it_may_be_and_not_everywhere() {
        let all = all(20_000);
        for table in TABLES {
            for column in &columns(table)[1..] {
                let of = |(step, cells): &(Step, Cells)| {
                    let cell = cells.iter().find(|(name, _)| name == column).filter(|_| step.table == table);
                    cell.map(|(_, cell)| *cell == Cell::Null)
                };
                let nulls: Vec<bool> = all.iter().filter_map(of).collect();
                assert!(nulls.contains(&false), "{table:?} {column}");
                let must = ["created_at", "customer_id", "kind", "at", "placed_at"].contains(column);
                assert_eq!(nulls.contains(&true), !must, "{table:?} {column}");
            }
        }
    }

    /// Who goes on with a seed must go on with the same rows.
    #[test]
    fn a_seed_means_the_same_rows_for_ever() {
        let mut hash = Sha256::new();
        all(10_000).iter().for_each(|change| hash.update(format!("{change:?}")));
        let digest: String = hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            (VERSION, digest.as_str()),
            (1, "119ef64c3f7679d9"),
            "another plan: give plan::VERSION the next number, and then write the new digest here"
        );
    }
}
