"""What a catalogue holds: the posters of a folder, an archive or a table, in order.

It may lie on a disk or in any object store that fsspec reads (https://filesystem-spec.readthedocs.io).
`listing` picks the reader: `folders`, `tars`, `zips`, `csv_tables`, `json_lines`, `arrow_tables` or
`dataset_folders`. Hardly anything reads a poster to list it, so that a million are listed in a
minute and in little memory. `item` says where one poster is and loads it. `stores` is where files
lie and what tells one from another of the same name, `columns` which column of a table has the
posters, `names` what names mean, `passed_over` what a catalogue holds beside posters.
"""
