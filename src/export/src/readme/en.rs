//! README.txt in English.

use super::Texts;

pub(super) const TEXTS: Texts = Texts {
    code: "en",
    title: "CRM export of {tenant}",
    as_of: "As of {local} ({zone}), which is {utc} UTC. Nothing that happened later is in these files.\n",
    request: "Restore request {request}, backup {point}.\n",
    files: "\nFILES, in the order to import them:\n",
    file: "  {at}. {name} - {records} records\n",
    missing: "\nONLY WHAT IS MISSING: the folder {folder} has the same files with only the records that were not in your account \
              any more on {at}:\n",
    no_missing: "\nTHERE IS NO SET OF ONLY WHAT IS MISSING: your account could not be asked for what it still has ({why}).\n",
    import_missing: "
BEFORE YOU IMPORT
  - A CRM import adds records, it does not update the ones you have. Import the files of {folder}: they bring back what was
    deleted, and nothing twice. The full set is for looking things up.
",
    import_full: "
BEFORE YOU IMPORT
  - A CRM import adds records, it does not update the ones you have: whatever still exists would be there twice.
    Look for what is missing, keep those lines, and import only them.
",
    how_to: "  - Import companies before contacts, and both before leads and deals: records are linked by name.
  - If two companies or two people have the same name, the link may go to the wrong one; the columns that end in _REF
    hold the original ids.
  - If a company has another name in your account by now, importing a contact of it makes a second company of the old name,
    and a deal stays without its company: give it the old name back before you import, or merge the two afterwards.
  - Columns that end in _LABEL say in words what the code beside them means. Importers ignore columns they do not know.
  - A deal with several products has a line for each; all its lines have the same ID.
  - Files are UTF-8. Dates and times are local to the time zone above.
",
    links: "  - {count} links are by a name that several records share. {file} lists them, each with the id that was meant: \
            look at these after the import.\n",
    links_cut: "  - {count} more of them did not fit into that file.\n",
    not_in: "
NOT IN THESE FILES
  Activities (calls, mails, meetings, tasks), comments in the timeline, and the history of changes.
",
    worth_knowing: "\nWORTH KNOWING\n",
    guarded: "  - {count} cells begin like a formula and got a ' in front, so that no spreadsheet runs them; {manifest} says \
              which.\n",
    unreadable: "  - {count} cells hold no proper date or yes/no and were left as they are; {manifest} says which.\n",
    oversized: "  - {count} cells are longer than a spreadsheet shows; they are whole in the files. {manifest} says which.\n",
    ambiguous: "  - {count} cells hold a value with the separator of several values in it: an importer takes it for two. \
                {manifest} says which.\n",
    not_utf8: "  - {count} cells of the database are not readable text; what could not be read is shown as \u{fffd}. {manifest} \
               says which.\n",
    skipped: "  - {entity}: {name} does not exist in this account.\n",
};
